"""Several processes play one campaign."""

import json
from functools import partial
from pathlib import Path

from click.testing import CliRunner

from protocol import asyncapi
from protocol.asyncapi.served import sockets
from protocol.cli.main import main
from protocol.fuzzing.arena import LocalArena, RemoteArena
from protocol.fuzzing.campaign import Campaign
from protocol.fuzzing.checks import selected
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.jobs import Jobs
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
