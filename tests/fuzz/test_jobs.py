"""Several processes play one campaign."""

import json
import time
from functools import partial
from pathlib import Path

from click.testing import CliRunner

from protocol import asyncapi
from protocol.asyncapi.served import sockets
from protocol.cli.main import main
from protocol.fuzzing.arena import LocalArena, RemoteArena
from protocol.fuzzing.campaign import Campaign, Report
from protocol.fuzzing.checks import selected
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.jobs import Batch, Jobs
from protocol.fuzzing.moves import MOVE_NAMES
from tests.fuzz import chat, wrong_chat
from tests.fuzz.serving import serving

CHECKS = selected(only=["clean_room", "isolation", "liveness"])


def small_chat(job: int) -> LocalArena:
    return LocalArena(wrong_chat.create_app, Contract.of(wrong_chat.create_app()))


def haunted(job: int) -> LocalArena:
    return LocalArena(wrong_chat.haunted, Contract.of(wrong_chat.haunted()))


def behind(url: str, job: int) -> RemoteArena:
    return RemoteArena(url, Contract.of(chat.create_app()), login=chat.login, before=job * 1_000)


def test_jobs_play_what_is_to_be_played() -> None:
    jobs = Jobs(2, small_chat)
    campaign = Campaign(
        arena=small_chat(0),
        checks=CHECKS,
        target="chat",
        seed=1,
        max_examples=120,
        phases=["stateful"],
        jobs=jobs,
    )
    report = campaign.run()
    assert not report.failures
    assert 80 < report.coverage.programs <= 120
    assert report.coverage.outcomes.keys() >= {"join", "leave", "message", "(broken)"}


def test_what_fails_in_several_jobs_is_told_once() -> None:
    jobs = Jobs(2, haunted)
    campaign = Campaign(
        arena=haunted(0),
        checks=CHECKS,
        target="chat",
        seed=1,
        max_examples=200,
        phases=["stateful"],
        jobs=jobs,
    )
    report = campaign.run()
    assert [failure.check.code for failure in report.failures] == ["clean_room"]
    assert len(report.failures[0].transcript.exchanges) == 5


def test_jobs_meet_each_other_nowhere_on_one_server() -> None:
    with serving(chat.create_app()) as address:
        play = partial(behind, f"ws://{address}/ws")
        campaign = Campaign(
            arena=play(0),
            checks=CHECKS,
            target="chat",
            seed=1,
            max_examples=60,
            phases=["stateful"],
            jobs=Jobs(2, play),
        )
        report = campaign.run()
    assert not report.failures, report.failures[0]
    assert report.coverage.programs > 40


def test_jobs_with_tokens_are_refused_as_their_users_would_meet(tmp_path: Path) -> None:
    written = tmp_path / "asyncapi.json"
    app = wrong_chat.create_app()
    written.write_text(json.dumps(asyncapi.document(app, next(sockets(app)).protocol)))  # type: ignore[arg-type]
    options = ["--schema", str(written), "--token", "a", "--jobs", "2"]
    result = CliRunner().invoke(main, ["fuzz", "ws://127.0.0.1:1/ws", *options])
    assert result.exit_code == 1
    assert "say who they are by --login" in result.output


def test_who_interrupts_jobs_gets_what_they_have_seen_until_then() -> None:
    begun = time.monotonic()
    jobs = Jobs(2, small_chat)
    results = jobs.explore(
        [Batch(seed, size, 3, MOVE_NAMES) for seed, size in ((1, 1), (2, 1_000_000))], lambda: CHECKS
    )
    assert next(results)[0].programs == 1
    (((coverage, failure)),) = jobs.stop()
    jobs.close()
    assert failure is None
    assert coverage.programs < 1_000_000
    assert time.monotonic() - begun < 60


def test_a_campaign_of_jobs_that_is_interrupted_counts_what_was_under_way() -> None:
    def interrupt(report: Report) -> None:
        raise KeyboardInterrupt

    campaign = Campaign(
        arena=small_chat(0),
        checks=CHECKS,
        target="chat",
        seed=1,
        max_examples=300,
        phases=["stateful"],
        jobs=Jobs(2, small_chat),
    )
    report = campaign.run(interrupt)
    assert report.ended == "Interrupted."
    assert not report.failures
    assert report.coverage.programs > 0
