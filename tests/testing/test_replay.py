"""Where a transcript is played again that does not say where it was played."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from protocol import MessageProtocol
from protocol.cli.main import main
from protocol.testing import replay
from protocol.testing.comparison import first_difference
from protocol.testing.steps import Connect
from protocol.testing.transcript import Exchange, Transcript
from tests.misdeclared import refusal

CONNECTED = Transcript((Exchange(Connect(0)),))


def serving(*paths: str) -> FastAPI:
    """An application with a protocol at each of ``paths``."""
    app = FastAPI()
    for path in paths:
        app.include_router(MessageProtocol(f"At {path}", path=path, asyncapi_url=None).router)
    return app


def create_app() -> FastAPI:
    return serving("/chat")


def create_several() -> FastAPI:
    return serving("/ws", "/chat")


@pytest.mark.parametrize("nodes", [0, 2])
def test_it_is_played_where_the_protocol_is_served(nodes: int) -> None:
    transcript = Transcript(CONNECTED.exchanges, nodes=nodes)
    assert first_difference(transcript, replay(transcript, create_app)) is None
    assert replay(transcript, create_app, path="/ws").exchanges[0].refused == {0: 403}


@pytest.mark.parametrize("paths", [("/ws", "/chat"), ("/ws/{room}",)])
def test_it_is_not_guessed_where_it_is_played(paths: tuple[str, ...]) -> None:
    assert refusal(lambda: replay(CONNECTED, lambda: serving(*paths))) == (
        f"Say at which path the transcript is to be played: there are {', '.join(paths)}."
    )


def test_it_is_played_where_its_steps_say() -> None:
    named = Transcript((Exchange(Connect(0, "/chat")),))
    assert first_difference(named, replay(named, create_several)) is None


def test_an_application_of_somebody_else_is_played_at_the_usual_path() -> None:
    assert replay(CONNECTED, FastAPI).exchanges[0].refused == {0: 403}


def test_the_command_plays_where_the_protocol_is_served_or_where_it_is_told_to(tmp_path: Path) -> None:
    written = tmp_path / "found.json"
    CONNECTED.save(written)

    def output(*arguments: str) -> str:
        return CliRunner().invoke(main, ["replay", str(written), *arguments]).output

    assert output(f"{__name__}:create_app") == "1 steps, no difference.\n"
    assert "Say at which path" in output(f"{__name__}:create_several")
    assert output(f"{__name__}:create_several", "--path", "/chat") == "1 steps, no difference.\n"
