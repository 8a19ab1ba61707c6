"""What broken frames and failing validators get, and how many are too many."""

import asyncio
from contextlib import suppress
from typing import Any

import orjson
import pytest
from pydantic import field_validator

from protocol import Connection, Disconnect, Message, MessageProtocol, RateLimited, Reject, Tolerance
from protocol.exceptions import RemoteProtocolError
from protocol.limits import Rate
from protocol.testing import Client, Refused, settle
from tests.served import served
from tests.working import Done, Enter, Hello, Number, Work, cancelled, working


async def test_fifty_broken_frames_in_a_row_are_one_too_many() -> None:
    app, _ = working()
    async with Client(app) as client:
        for _ in range(60):
            await client.send("[]")
        assert await client.expect_close() == (3509, "too many errors")
        assert [frame["code"] for frame in client.frames] == ["malformed_frame"] * 50


async def test_a_good_frame_ends_a_row_and_two_hundred_in_a_minute_are_too_many() -> None:
    app, _ = working()
    async with Client(app) as client:
        for index in range(250):
            await client.send("[]" if index % 5 else '{"type":"ping"}')
        assert await client.expect_close() == (3509, "too many errors")
        assert sum(frame["type"] == "error" for frame in client.frames) == 200


async def test_the_tolerance_is_the_protocols() -> None:
    app, _ = working(tolerance=Tolerance(row=2, minute=None))
    async with Client(app) as client:
        await client.send('{"type":"what"}')
        await client.send('{"type":"work","name":1}')
        await client.expect_close(3509)
        assert [frame["code"] for frame in client.frames] == ["unknown_type", "invalid_message"]


async def test_an_exception_handler_sees_the_frame_and_may_answer_or_close() -> None:
    chat = MessageProtocol("Work", sends=Done)
    seen: list[RemoteProtocolError] = []

    @chat.exception_handler(RemoteProtocolError)
    async def answer(connection: Connection, error: RemoteProtocolError) -> Done:
        seen.append(error)
        if error.id == "stop":
            raise Disconnect(4000, "stop")
        return Done(name=error.code)

    @chat.on(Work, rate_limit=Rate(1))
    async def work(message: Work) -> None: ...

    async with Client(served(chat)) as client:
        await client.send('{"type":"work","name":1,"id":"a"}')
        assert await client.expect("done") == {"type": "done", "name": "invalid_message", "ref": "a"}
        await client.send(Work())
        await client.send(Work(), id="b")
        assert await client.expect("done") == {"type": "done", "name": "rate_limited", "ref": "b"}
        assert isinstance(seen[1], RateLimited)
        assert [error.frame for error in seen] == [
            '{"type":"work","name":1,"id":"a"}', '{"type":"work","name":"","seconds":0.0,"id":"b"}',
        ]  # fmt: skip
        await client.send('{"type":"work","name":1,"id":"stop"}')
        assert await client.expect_close() == (4000, "stop")


async def test_an_exception_handler_sees_the_request_and_may_join_whatever_was_refused() -> None:
    chat = MessageProtocol("Work", receives=Hello, sends=Number)
    requests: list[Any] = []

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.transform()
    def checked(message: Work | Hello) -> Work | Hello:
        raise LookupError

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> None: ...

    @chat.on(Enter)
    async def enter(message: Enter, connection: Connection) -> None:
        with suppress(TimeoutError):
            await connection.receive(Hello, timeout=1)

    @chat.exception_handler(Exception)
    async def refused(connection: Connection, error: Exception) -> None:
        requests.append(connection.request.id)
        await connection.join(f"a{connection.request.id}")

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await client.send({"type": "unknown", "id": 2})
        await client.send(Enter(), id=3)
        await client.send(Hello(name="ann"), id=4)
        await client.expect("ack", ref=3, within=2)
        assert requests == [1, 2, 4]
        for id in requests:
            await chat.rooms[f"a{id}"].publish(Number(value=id))
            await client.expect("number", value=id)


async def test_a_refusal_by_on_connect_is_said_before_the_close() -> None:
    chat = MessageProtocol("Work", receives=Work)
    hooks: list[str] = []

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        raise Disconnect(4403, "not you")

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        hooks.append("gone")

    async with Client(served(chat)) as client:
        assert await client.expect_close() == (4403, "not you")
        assert client.frames == []
    assert hooks == ["gone"]


async def test_a_refused_connection_has_no_hooks() -> None:
    chat = MessageProtocol("Work", path="/ws/{room}", receives=Work)
    hooks: list[str] = []

    @chat.room("open")
    async def room(connection: Connection) -> None: ...

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        hooks.append("connect")

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        hooks.append("disconnect")

    with pytest.raises(Refused) as refused:
        await Client(served(chat), "/ws/lobby").connect()
    assert refused.value.status == 404
    assert hooks == []


@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_message_can_be_cancelled_before_its_first_step(concurrent: bool) -> None:
    app, done = working(concurrent=concurrent)
    async with Client(app) as client:
        # Read in one go, as from a server that has several frames in its buffer.
        for frame in ('{"type":"work","seconds":9,"id":1}', '{"type":"cancel","ref":1,"id":2}'):
            client._events.put_nowait({"type": "websocket.receive", "text": frame})
        assert await client.expect("error") == cancelled(1)
        assert await client.expect("ack") == {"type": "ack", "ref": 2}
        await client.expect_nothing()
    assert "" not in done


class Fragile(Message, type="fragile"):
    what: str

    @field_validator("what")
    @classmethod
    def _break(cls, what: str) -> str:
        if what == "reject":
            raise Reject("conflict", "Not this one.")
        if what == "bug":
            raise LookupError("a secret")
        return what


@pytest.mark.parametrize("busy", [False, True])
async def test_whatever_a_validator_raises_is_an_answer_on_a_living_connection(
    busy: bool, caplog: pytest.LogCaptureFixture
) -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work)
    async def work(message: Work) -> None:
        await asyncio.sleep(message.seconds)

    @chat.on(Fragile)
    async def fragile(message: Fragile) -> None: ...

    async with Client(served(chat)) as client:
        if busy:
            await client.send(Work(seconds=1))
            await settle()
        for id, what in enumerate(("reject", "bug", "fine")):
            await client.send({"type": "fragile", "what": what, "id": id})
        assert (await client.expect("error", within=2))["code"] == "conflict"
        error = await client.expect("error")
        assert (error["code"], error["ref"]) == ("internal_error", 1)
        assert await client.expect("ack") == {"type": "ack", "ref": 2}
    assert caplog.text.count("LookupError: a secret") == 1


async def test_whatever_a_codec_raises_is_an_answer_on_a_living_connection() -> None:
    class Upper:
        text = True

        def decode(self, frame: str | bytes) -> tuple[bytes]:
            return (orjson.dumps(orjson.loads(frame)),)

        def encode(self, body: bytes) -> bytes:
            return body

    app, _ = working(codec=Upper())
    async with Client(app) as client:
        await client.send("no JSON")
        assert (await client.expect("error"))["code"] == "internal_error"
        assert await client.request(Work()) == {"type": "done", "name": "", "ref": 1}


@pytest.mark.parametrize("filling", ["x", "ü"])
async def test_a_frame_over_the_protocols_limit_is_too_big_on_every_server(filling: str) -> None:
    app, done = working(max_frame=200)
    frame = orjson.dumps({"type": "work", "name": filling * 50}).decode()
    async with Client(app) as client:
        await client.send(frame + " " * (200 - len(frame.encode())))
        await client.expect("done")
        await client.send(frame + " " * (201 - len(frame.encode())))
        assert await client.expect_close() == (1009, "message too big")
    assert done == [filling * 50]
