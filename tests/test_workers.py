"""How many processes serve an application."""

import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from protocol import Message, MessageProtocol
from protocol.cli.run import run
from tests.served import served


class Say(Message, type="say"):
    text: str


app = served(MessageProtocol("Chat", receives=Say))
plain = FastAPI()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    workers: list[int] = []
    monkeypatch.setenv("HOST", "")
    monkeypatch.setenv("PORT", "")
    monkeypatch.setattr("uvicorn.run", lambda **options: workers.append(options["workers"]))
    return workers


def test_a_protocol_whose_broker_is_of_one_process_is_not_served_by_several(started: list[int]) -> None:
    result = CliRunner().invoke(run, ["tests.test_workers:app", "--workers", "2"])
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == (
        "Error: The broker memory:// of 'Chat' is of one process: in several, those who are in one room would not hear "
        "each other. Serve it with --workers 1."
    )
    assert started == []


@pytest.mark.parametrize("target, workers", [("app", 1), ("plain", 2)])
def test_anything_else_is(target: str, workers: int, started: list[int]) -> None:
    result = CliRunner().invoke(run, [f"tests.test_workers:{target}", "--workers", str(workers)])
    assert (result.exit_code, started) == (0, [workers])
