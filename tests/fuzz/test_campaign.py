"""How a campaign ends: by its time, by who interrupts it, and with what was found until then."""

from types import SimpleNamespace

import pytest

from protocol.exceptions import ConfigurationError
from protocol.fuzzing import fuzzer as module
from protocol.fuzzing.arena import LocalArena
from protocol.fuzzing.campaign import Campaign, Report
from protocol.fuzzing.checks import Check, Finding
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Fuzzer
from protocol.fuzzing.program import programs
from protocol.fuzzing.run import Run
from protocol.testing.steps import Close, Connect, Drop
from tests.fuzz import wrong_chat


def arena() -> LocalArena:
    return LocalArena(wrong_chat.create_app, Contract.of(wrong_chat.create_app()), measured=False)


def test_who_interrupts_a_campaign_gets_what_was_found() -> None:
    def interrupt(report: Report) -> None:
        if report.failures:
            raise KeyboardInterrupt

    wrong = Check(
        "wrong", "Nothing is right.", lambda run: Finding(0, "It is wrong.") if run.exchanges else None
    )
    campaign = Campaign(arena=arena(), checks=(wrong,), target="chat", seed=1, max_examples=5)
    report = campaign.run(interrupt)
    assert report.ended == "Interrupted."
    assert [failure.check.code for failure in report.failures] == ["wrong"]


def test_who_interrupts_while_a_failure_is_made_smaller_gets_it_as_it_is() -> None:
    found: list[Run] = []

    def find(run: Run) -> Finding:
        if found:
            raise KeyboardInterrupt
        found.append(run)
        return Finding(0, "It is wrong.")

    wrong = Check("wrong", "Nothing is right.", find)
    report = Campaign(arena=arena(), checks=(wrong,), target="chat", seed=1, max_examples=5).run()
    assert [failure.remark for failure in report.failures] == ["Interrupted."]


def test_nothing_is_played_after_the_deadline() -> None:
    fuzzer = Fuzzer(arena(), (), deadline=0)
    assert fuzzer.explore(programs(fuzzer.arena.contract), seed=1, database=None, max_examples=5) is None
    assert fuzzer.coverage.programs == 0


@pytest.mark.parametrize("phase", ["coverage", "stateful"])
def test_a_failure_is_not_made_smaller_after_the_deadline(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    looks: list[Run] = []

    def find(run: Run) -> Finding:
        looks.append(run)
        clock.now = float("inf")
        return Finding(0, "It is wrong.")

    wrong = Check("wrong", "Nothing is right.", find)
    campaign = Campaign(
        arena=arena(), checks=(wrong,), target="chat", seed=1, max_examples=50, max_time=60, phases=[phase]
    )
    report = campaign.run()
    assert len(looks) == 1
    assert [failure.remark for failure in report.failures] == ["The time was up."]


def test_programs_of_other_steps_with_the_same_values_are_played_too() -> None:
    fuzzer = Fuzzer(arena(), ())
    for program in ((Connect(0), Drop(0)), (Connect(0), Close(0)), (Connect(0), Close(0))):
        assert fuzzer.check(program) is None
    assert fuzzer.coverage.programs == 2


def test_no_more_programs_are_played_than_are_asked_for() -> None:
    report = Campaign(arena=arena(), checks=(), target="chat", seed=1, max_examples=150).run()
    assert report.coverage.programs <= 150


def test_a_campaign_with_nothing_to_play_is_none() -> None:
    campaign = Campaign(arena=arena(), checks=(), target="chat", seed=1, phases=["fuzzing"], max_examples=4)
    with pytest.raises(ConfigurationError, match=r"^Nothing was fuzzed: .* in the phases fuzzing\.$"):
        campaign.run()
