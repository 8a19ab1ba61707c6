"""Real traffic becomes a transcript, without what is secret."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol
from protocol.testing import Client, record
from protocol.testing.client import Refused
from protocol.testing.clock import run
from protocol.testing.comparison import first_difference
from protocol.testing.replay import replay
from protocol.testing.steps import Close, Connect, Drop, Send
from protocol.testing.transcript import Exchange, Transcript
from protocol.types import Receive, Scope
from protocol.types import Send as Sender
from tests.served import served


class Echo(Message, type="echo"):
    text: str


class Ticket(Message, type="ticket"):
    ticket: str


def create_app() -> FastAPI:
    chat = MessageProtocol("Echo")

    @chat.on(Echo, emits=Echo)
    async def echo(message: Echo, connection: Connection) -> Echo:
        return message

    return served(chat)


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


async def test_what_has_a_secret_in_its_name_is_not_written_down() -> None:
    app = record(create_app())
    async with Client(app, query="name=Ann&access_token=eyJ") as client:
        await client.send(
            {"type": "a", "access_token": "eyJ", "ClientSecret": ["eyJ"], "apiKey": {"a": "eyJ"}}
        )
        await client.send(b'"token": "eyJ"')
        await client.expect("error")
    connect, send, binary, _ = app.transcript.steps
    assert connect == Connect(0, "/ws?name=Ann&access_token=%3Credacted%3E")
    assert send == Send(
        0,
        '{"type":"a","access_token":"<redacted>","ClientSecret":["<redacted>"],"apiKey":{"a":"<redacted>"}}',
    )
    assert binary == Send(0, b"<redacted>")


def test_what_is_not_written_down_is_no_difference() -> None:
    chat = MessageProtocol("Tokens")

    @chat.on(Echo, emits=Ticket)
    async def echo(message: Echo, connection: Connection) -> Ticket:
        return Ticket(ticket=uuid4().hex)

    app = served(chat)
    recorded = record(app)

    async def session() -> None:
        async with Client(recorded) as client:
            await client.request(Echo(text="a"))

    run(session())
    assert '"<redacted>"' in str(recorded.transcript.exchanges[1].received[0])
    assert first_difference(recorded.transcript, replay(recorded.transcript, lambda: app)) is None


def test_what_overlaps_can_be_played_one_after_the_other() -> None:
    recorded = record(create_app())

    async def session() -> None:
        async with Client(recorded) as alice, Client(recorded) as bob:
            await asyncio.gather(*(client.request(Echo(text="a")) for client in (alice, bob)))

    run(session())
    transcript = recorded.transcript
    assert transcript.exchanges[2:4] == (
        Exchange(Send(0, '{"type":"echo","text":"a","id":1}')),
        Exchange(
            Send(1, '{"type":"echo","text":"a","id":1}'),
            dict.fromkeys((0, 1), ('{"type":"echo","text":"a","ref":1}',)),
        ),
    )
    played = replay(transcript, create_app)
    assert played.exchanges[2].received
    assert first_difference(transcript, played) is None


async def test_recording_ends_at_its_limit_and_with_what_the_last_step_brought() -> None:
    app = record(create_app(), limit=2)
    async with Client(app) as client:
        for _ in range(5):
            await client.request(Echo(text="a"))
        await client.send("[" * 10_000)
    assert app.transcript.exchanges == (
        Exchange(Connect(0, "/ws")),
        Exchange(Send(0, '{"type":"echo","text":"a","id":1}'), {0: ('{"type":"echo","text":"a","ref":1}',)}),
    )


async def test_nothing_comes_into_a_recording_that_has_ended() -> None:
    async def refuses(scope: Scope, receive: Receive, send: Sender) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    app = record(refuses, limit=1)
    for _ in range(2):
        with pytest.raises(Refused):
            await Client(app).connect()
    assert app.transcript.exchanges == (Exchange(Connect(0, "/ws"), closed={0: (1008, "")}),)


async def test_a_recording_can_be_saved_for_later(tmp_path: Path) -> None:
    app = record(create_app())
    async with Client(app) as client:
        await client.request(Echo(text="a"))
    app.save(tmp_path / "session.json")
    assert Transcript.load(tmp_path / "session.json") == app.transcript
