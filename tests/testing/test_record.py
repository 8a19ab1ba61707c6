"""Real traffic becomes a transcript, without what is secret."""

from pathlib import Path

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol
from protocol.testing import Client, record
from protocol.testing.steps import Close, Connect, Drop, Send
from protocol.testing.transcript import Exchange, Transcript


class Echo(Message, type="echo"):
    text: str


def create_app() -> FastAPI:
    chat = MessageProtocol("Echo")

    @chat.on(Echo, emits=Echo)
    async def echo(message: Echo, connection: Connection) -> Echo:
        return message

    app = FastAPI()
    app.include_router(chat.router)
    return app


async def test_what_passes_is_written_down_in_order() -> None:
    app = record(create_app())
    async with Client(app) as alice, Client(app) as bob:
        await alice.request(Echo(text="a"))
        await bob.request(Echo(text="b"))
        bob.drop()
    assert app.transcript == Transcript(
        (
            Exchange(Connect(0, "/ws")),
            Exchange(Connect(1, "/ws")),
            Exchange(
                Send(0, '{"type":"echo","text":"a","id":1}'), {0: ('{"type":"echo","text":"a","ref":1}',)}
            ),
            Exchange(
                Send(1, '{"type":"echo","text":"b","id":1}'), {1: ('{"type":"echo","text":"b","ref":1}',)}
            ),
            Exchange(Drop(1)),
            Exchange(Close(0)),
        ),
        title="recorded",
    )


async def test_tokens_are_not_written_down() -> None:
    app = record(create_app())
    async with Client(app) as client:
        await client.send({"type": "authenticate", "token": "eyJ.secret", "id": 1})
        await client.send('not json, but "token": "eyJ.secret"')
        await client.expect("error", code="malformed_frame")
    assert "eyJ" not in str(app.transcript.to_json())
    assert app.transcript.steps[1:3] == (
        Send(0, '{"type":"authenticate","token":"<redacted>","id":1}'),
        Send(0, '"<redacted>"'),
    )


async def test_recording_ends_at_its_limit() -> None:
    app = record(create_app(), limit=2)
    async with Client(app) as client:
        for _ in range(5):
            await client.request(Echo(text="a"))
    assert len(app.transcript.exchanges) == 2


async def test_a_recording_can_be_saved_for_later(tmp_path: Path) -> None:
    app = record(create_app())
    async with Client(app) as client:
        await client.request(Echo(text="a"))
    app.save(tmp_path / "session.json")
    assert Transcript.load(tmp_path / "session.json") == app.transcript
