"""Order, one answer per id, and what happens to messages under way when something ends them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from pydantic import field_validator

from protocol import Connection, Disconnect, Message, MessageProtocol, RateLimited, Reject, Tolerance, User
from protocol.exceptions import RemoteProtocolError
from protocol.limits import Rate
from protocol.reader import MAX_INBOX
from protocol.testing import Client, Refused, settle


class Work(Message, type="work"):
    name: str = ""
    seconds: float = 0


class Done(Message, type="done"):
    name: str


class Count(Message, type="count"):
    to: int


class Number(Message, type="number"):
    value: int


def served(chat: MessageProtocol) -> FastAPI:
    app = FastAPI()
    app.include_router(chat.router)
    return app


def working(*, concurrent: bool = False, **options: Any) -> tuple[FastAPI, list[str]]:
    """An application whose handler works for some seconds, and what it has done."""
    chat = MessageProtocol("Work", **options)
    done: list[str] = []

    @chat.on(Work, emits=Done, concurrent=concurrent)
    async def work(message: Work) -> Done:
        try:
            if message.seconds:
                await asyncio.sleep(message.seconds)
        except asyncio.CancelledError:
            done.append(f"{message.name} cancelled")
            raise
        done.append(message.name)
        return Done(name=message.name)

    return served(chat), done


def cancelled(ref: int | str) -> dict[str, Any]:
    return {
        "type": "error", "code": "cancelled", "detail": "The message was cancelled.", "ref": ref, "retryable": False,
    }  # fmt: skip


async def test_messages_are_handled_in_order_however_long_each_takes() -> None:
    app, done = working()
    async with Client(app) as client:
        for index, seconds in enumerate((3, 0, 1, 0)):
            await client.send(Work(name=str(index), seconds=seconds), id=index)
        for index in range(4):
            assert await client.expect("done", within=10) == {
                "type": "done",
                "name": str(index),
                "ref": index,
            }
        assert done == ["0", "1", "2", "3"]
        await client.expect_nothing()


async def test_a_message_without_an_id_gets_its_reply_without_ref_and_no_ack() -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> Done | None:
        return Done(name=message.name) if message.name else None

    async with Client(served(chat)) as client:
        await client.send(Work(name="a"))
        await client.send(Work())
        await client.send(Work(), id="x")
        assert await client.expect("done") == {"type": "done", "name": "a"}
        assert await client.expect("ack") == {"type": "ack", "ref": "x"}
        await client.expect_nothing()


async def test_the_same_id_twice_is_answered_twice() -> None:
    app, _ = working()
    async with Client(app) as client:
        await client.send(Work(name="a", seconds=1), id=7)
        await client.send(Work(name="b"), id=7)
        assert (await client.expect("done", within=2))["name"] == "a"
        assert (await client.expect("done"))["name"] == "b"


async def test_concurrent_messages_run_beside_up_to_the_bound() -> None:
    app, done = working(concurrent=True, max_pending=2)
    async with Client(app) as client:
        for name, seconds in (("a", 3), ("b", 1), ("c", 1), ("d", 0)):
            await client.send(Work(name=name, seconds=seconds))
        await client.expect("done", name="d", within=5)
        # a and b fill the places; c waits for b, d for c.
        assert done == ["b", "c", "d"]


# Streams.


async def test_a_stream_sends_replies_then_the_ack() -> None:
    chat = MessageProtocol("Count")

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        for value in range(message.to):
            yield Number(value=value)

    async with Client(served(chat)) as client:
        await client.send(Count(to=3), id=1)
        await settle()
        assert client.frames == [
            *({"type": "number", "value": value, "ref": 1} for value in range(3)),
            {"type": "ack", "ref": 1},
        ]


async def test_a_stream_waits_for_a_peer_that_does_not_read_and_loses_nothing() -> None:
    chat = MessageProtocol("Count")
    made = 0

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        nonlocal made
        for value in range(message.to):
            made = value + 1
            yield Number(value=value)

    async with Client(served(chat)) as client:
        client.pause()
        await client.send(Count(to=10_000), id=1)
        await settle()
        assert made < 5_000
        client.resume()
        assert await client.expect("ack", within=9)
        assert [frame["value"] for frame in client.frames] == list(range(10_000))


async def test_a_cancelled_stream_runs_its_cleanup_and_ends_with_one_error() -> None:
    chat = MessageProtocol("Count")
    cleaned: list[str] = []

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        try:
            yield Number(value=0)
            await asyncio.sleep(3600)
        finally:
            cleaned.append("count")

    async with Client(served(chat)) as client:
        await client.send(Count(to=3), id=1)
        await client.expect(Number)
        await client.send({"type": "cancel", "ref": 1}, id=2)
        assert await client.expect("error") == cancelled(1)
        assert await client.expect("ack") == {"type": "ack", "ref": 2}
        assert cleaned == ["count"]
        await client.expect_nothing()


async def test_the_stream_of_a_plain_generator_runs_in_a_thread() -> None:
    chat = MessageProtocol("Count")

    @chat.on(Count, emits=Number)
    def count(message: Count):  # type: ignore[no-untyped-def]
        for value in range(message.to):
            yield Number(value=value)

    async with Client(served(chat)) as client:
        await client.send(Count(to=2), id=1)
        assert await client.expect("ack", within=5)
        assert [frame["value"] for frame in client.frames] == [0, 1]


# Cancelling.


async def test_cancel_overtakes_the_queue_and_is_acknowledged() -> None:
    app, done = working()
    async with Client(app) as client:
        await client.send(Work(name="a", seconds=3600), id=1)
        await client.send(Work(name="b"), id=2)
        await client.send({"type": "cancel", "ref": 1}, id=3)
        await settle()
        assert client.frames == [
            {"type": "ack", "ref": 3},
            cancelled(1),
            {"type": "done", "name": "b", "ref": 2},
        ]
        assert done == ["a cancelled", "b"]


async def test_a_queued_message_can_be_cancelled_and_never_runs() -> None:
    app, done = working()
    async with Client(app) as client:
        await client.send(Work(name="a", seconds=1), id=1)
        await client.send(Work(name="b"), id=2)
        await client.send({"type": "cancel", "ref": 2})
        assert await client.expect("error") == cancelled(2)
        await client.expect("done", name="a", within=2)
        await client.expect_nothing()
        assert done == ["a"]


async def test_a_concurrent_message_can_be_cancelled_beside_others() -> None:
    app, done = working(concurrent=True, max_pending=1)
    async with Client(app) as client:
        await client.send(Work(name="a", seconds=10), id=1)
        await client.send(Work(name="b", seconds=1), id=2)
        await settle()
        await client.send({"type": "cancel", "ref": 2})
        assert await client.expect("error") == cancelled(2)
        await client.send({"type": "cancel", "ref": 1})
        assert await client.expect("error") == cancelled(1)
        await client.expect_nothing()
        assert done == ["a cancelled"]


@pytest.mark.parametrize("ref", ["unknown", 1])
async def test_cancelling_what_is_not_under_way_does_nothing(ref: str | int) -> None:
    app, done = working()
    async with Client(app) as client:
        await client.send(Work(name="a"), id=1)
        await client.expect(Done)
        await client.send({"type": "cancel", "ref": ref})
        await client.expect_nothing()
        assert done == ["a"]


async def test_a_handler_that_swallows_the_cancellation_gives_its_own_answer_only() -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> Done:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(1)
        return Done(name="anyway")

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await settle()
        await client.send({"type": "cancel", "ref": 1})
        assert await client.expect("done", within=2) == {"type": "done", "name": "anyway", "ref": 1}
        await client.expect_nothing()


async def test_a_handler_that_swallowed_a_cancellation_still_ends_with_the_connection() -> None:
    chat = MessageProtocol("Work")
    ended: list[str] = []

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("work")

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await settle()
        await client.send({"type": "cancel", "ref": 1})
        await settle()
    assert ended == ["work"]
    assert asyncio.get_running_loop().time() == 0


async def test_a_handler_that_awaits_a_cancelled_task_fails_and_the_connection_lives() -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> None:
        task = asyncio.create_task(asyncio.sleep(3600))
        task.cancel()
        await task

    async with Client(served(chat)) as client:
        assert (await client.request(Work()))["code"] == "internal_error"
        assert (await client.request(Work()))["code"] == "internal_error"


@pytest.mark.parametrize("concurrent", [False, True])
async def test_an_exception_handler_that_awaits_a_cancelled_task_fails_and_the_connection_lives(
    concurrent: bool,
) -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work, emits=Done, concurrent=concurrent)
    async def work(message: Work) -> None:
        raise LookupError

    @chat.exception_handler(LookupError)
    async def explained(connection: Connection, error: LookupError) -> None:
        task = asyncio.create_task(asyncio.sleep(9))
        task.cancel()
        await task

    async with Client(served(chat)) as client:
        for id in (1, 2):
            await client.send(Work(), id=id)
            assert (await client.expect("error", ref=id))["code"] == "internal_error"


async def test_a_room_function_that_awaits_a_cancelled_task_refuses_the_handshake() -> None:
    chat = MessageProtocol("Work", path="/ws/{room}")

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None:
        task = asyncio.create_task(asyncio.sleep(9))
        task.cancel()
        await task

    with pytest.raises(Refused) as caught:
        await Client(served(chat), "/ws/a").connect()
    assert caught.value.status == 503


async def test_a_task_group_that_fails_in_a_handler_is_an_error_and_the_connection_lives() -> None:
    chat = MessageProtocol("Work")

    async def fail() -> None:
        raise LookupError

    @chat.on(Work)
    async def work(message: Work) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async with Client(served(chat)) as client:
        for _ in range(2):
            assert (await client.request(Work(name="a")))["code"] == "internal_error"
        assert (await client.request({"type": "ping"}))["type"] == "pong"


async def test_a_timeout_inside_a_handler_is_its_own() -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> Done:
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(3600)
        except TimeoutError:
            return Done(name="timeout")
        raise AssertionError

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        assert (await client.expect(Done, within=2)).name == "timeout"


# The end of a connection.


@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_disconnect_cancels_a_suspended_handler_at_once(concurrent: bool) -> None:
    app, done = working(concurrent=concurrent)
    async with Client(app) as client:
        await client.send(Work(name="a", seconds=3600))
        await settle()
        assert done == []
    assert done == ["a cancelled"]
    assert asyncio.get_running_loop().time() == 0


async def test_what_waits_behind_a_cancelled_handler_is_not_begun_for_a_peer_that_is_gone() -> None:
    app, done = working()
    async with Client(app) as client:
        await client.send(Work(name="a", seconds=3600))
        await client.send(Work(name="b", seconds=3600))
        await settle()
    assert done == ["a cancelled"]


async def test_messages_that_wait_for_nothing_are_handled_although_the_peer_has_gone() -> None:
    app, done = working()
    async with Client(app) as client:
        for name in "abc":
            await client.send(Work(name=name))
        client.drop()
    assert done == ["a", "b", "c"]


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("concurrent", [False, True])
async def test_no_task_is_left_whenever_the_peer_goes(turns: int, concurrent: bool) -> None:
    app, _ = working(concurrent=concurrent)
    client = await Client(app).connect()
    await client.send(Work(name="a", seconds=0.001), id=1)
    await client.send({"type": "cancel", "ref": 1}, id=2)
    await client.send(Work(name="b"), id=3)
    for _ in range(turns):
        await asyncio.sleep(0)
    await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_handler_that_closes_its_connection_ends_where_it_waits_next() -> None:
    chat = MessageProtocol("Work")
    reached: list[str] = []

    @chat.on(Work, emits=Done)
    async def work(message: Work, connection: Connection) -> None:
        await connection.send(Done(name="last words"))
        await connection.close(4001, "enough")
        reached.append("close")
        await asyncio.sleep(3600)
        reached.append("never")

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await client.send(Work(), id=2)
        assert await client.expect_close() == (4001, "enough")
        assert client.frames == [{"type": "done", "name": "last words"}]
    assert reached == ["close"]


async def test_nothing_can_be_sent_after_a_close(caplog: pytest.LogCaptureFixture) -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work, emits=Done)
    async def work(message: Work, connection: Connection) -> Done:
        await connection.close(4001)
        await connection.send(Done(name="too late"))
        return Done(name="too late")

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await client.expect_close(4001)
        assert client.frames == []
    assert "The connection is closed: nothing can be sent any more." in caplog.text


async def test_a_close_from_outside_cancels_what_is_under_way_and_is_final() -> None:
    chat = MessageProtocol("Work")
    connections: list[Connection] = []

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        connections.append(connection)

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> None:
        await asyncio.sleep(3600)

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await settle()
        await connections[0].close(4001, "out")
        await connections[0].close(4002, "again")
        assert await client.expect_close() == (4001, "out")
        assert client.frames == []


async def test_a_disconnect_that_a_handler_raises_closes_behind_what_was_sent() -> None:
    chat = MessageProtocol("Work")

    @chat.on(Work, emits=Done)
    async def work(message: Work, connection: Connection) -> None:
        await connection.send(Done(name="first"))
        raise Disconnect(4500, "no")

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        assert await client.expect_close() == (4500, "no")
        assert client.frames == [{"type": "done", "name": "first"}]


async def test_draining_finishes_what_is_under_way_and_begins_nothing_else() -> None:
    for concurrent in (False, True):
        chat = MessageProtocol("Work")
        connections: list[Connection] = []
        begun: list[str] = []

        @chat.on_connect
        async def connected(connection: Connection, seen: list[Connection] = connections) -> None:
            seen.append(connection)

        @chat.on(Work, emits=Done, concurrent=concurrent)
        async def work(message: Work, begun: list[str] = begun) -> Done:
            begun.append(message.name)
            await asyncio.sleep(message.seconds)
            return Done(name=message.name)

        async with Client(served(chat)) as client:
            await client.send(Work(name="a", seconds=5), id=1)
            await settle()
            connections[0].drain(3001, "later")
            await client.send(Work(name="b", seconds=5), id=2)
            assert await client.expect_close(within=6) == (3001, "later")
            assert client.frames == [{"type": "done", "name": "a", "ref": 1}]
            assert begun == ["a"]


async def test_draining_an_idle_connection_closes_it_at_once() -> None:
    chat = MessageProtocol("Work", receives=Work)
    connections: list[Connection] = []

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        connections.append(connection)

    async with Client(served(chat)) as client:
        connections[0].drain(3001, "later")
        assert await client.expect_close() == (3001, "later")


async def test_a_server_that_cancels_the_connection_ends_it_whole() -> None:
    chat = MessageProtocol("Work")
    ended: list[str] = []

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        ended.append("work")

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        await asyncio.sleep(1)
        ended.append("hook")

    app = served(chat)
    client = await Client(app).connect()
    await client.send(Work())
    await settle()
    assert client._task is not None
    client._task.cancel()
    with suppress(asyncio.CancelledError):
        await client._task
    assert ended == ["work", "hook"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Enter(Message, type="enter"):
    pass


def leaving(seconds: float) -> tuple[FastAPI, list[str]]:
    """An application whose connections enter a room and are closed; it says for some seconds who has left."""
    chat = MessageProtocol("Rooms")
    ended: list[str] = []

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Enter)
    async def enter(message: Enter, connection: Connection) -> None:
        await connection.join("a")

    @chat.on(Work, emits=Done)
    async def work(message: Work, connection: Connection) -> None:
        await connection.send(Done(name=message.name))
        await connection.close(4001, "out")

    @chat.on_leave
    async def left(user: User) -> None:
        await asyncio.sleep(seconds)
        ended.append("left")

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        ended.append("gone")

    return served(chat), ended


async def test_a_close_frame_does_not_wait_until_the_rooms_are_left() -> None:
    app, ended = leaving(30)
    async with Client(app) as client:
        await client.request(Enter())
        await client.send(Work(name="last"))
        assert await client.expect_close() == (4001, "out")
        await client.expect(Done, name="last")
        assert not ended
        await asyncio.sleep(31)
    assert ended == ["left", "gone"]


async def test_a_peer_that_does_not_take_its_close_frame_has_left_its_rooms() -> None:
    app, ended = leaving(0)
    client = await Client(app).connect()
    await client.request(Enter())
    client.pause()
    await client.send(Work(name="last"))
    await settle()
    assert ended == ["left"]
    await asyncio.sleep(11)
    assert ended == ["left", "gone"]
    client.resume()
    await client.close()


@pytest.mark.parametrize("busy", [False, True])
async def test_what_receive_raises_passes_when_the_connection_is_forgotten(busy: bool) -> None:
    chat = MessageProtocol("Work")
    ended: list[str] = []

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> None:
        await asyncio.sleep(3600)

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        ended.append("hook")

    app = served(chat)

    async def broken(scope: Any, receive: Callable[[], Any], send: Any) -> None:
        async def failing_receive() -> Any:
            event = await receive()
            if event.get("text") == "fail":
                raise RuntimeError("The server is broken.")
            return event

        await app(scope, failing_receive, send)

    client = await Client(broken).connect()
    if busy:
        await client.send(Work())
    await client.send("fail")
    await settle()
    with pytest.raises(RuntimeError, match="The server is broken"):
        await client.close()
    assert ended == ["hook"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_reading_stops_at_the_bound_while_a_handler_is_suspended() -> None:
    app, done = working()
    async with Client(app) as client:
        await client.send(Work(name="first", seconds=5))
        for index in range(2 * MAX_INBOX):
            await client.send(Work(name=str(index)))
        await settle()
        assert client._events.qsize() == MAX_INBOX
        await client.expect(Done, name=str(2 * MAX_INBOX - 1), within=6)
        assert done == ["first", *map(str, range(2 * MAX_INBOX))]


# Taking messages out of the order.


class Hello(Message, type="hello"):
    name: str


async def test_on_connect_can_wait_for_a_message_while_others_wait_their_turn() -> None:
    chat = MessageProtocol("Work", receives=Hello)
    names: list[str] = []

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        names.append((await connection.receive(Hello, timeout=5)).name)

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> Done:
        names.append(message.name)
        return Done(name=message.name)

    async with Client(served(chat)) as client:
        await client.send(Work(name="early"), id=1)
        await client.expect_nothing()
        await client.send(Hello(name="ann"), id=2)
        await client.expect("done", ref=1)
        assert await client.expect("ack") == {"type": "ack", "ref": 2}
        assert names == ["ann", "early"]


async def test_who_says_nothing_in_time_is_closed() -> None:
    chat = MessageProtocol("Work", receives=Hello)

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        await connection.receive(Hello, timeout=5)

    async with Client(served(chat)) as client:
        assert await client.expect_close(within=6) == (3010, "insufficient state")
        assert (await client.expect("error"))["code"] == "timeout"


@pytest.mark.parametrize("turns", range(6))
async def test_a_disconnect_ends_a_wait_for_a_message(turns: int) -> None:
    chat = MessageProtocol("Work", receives=Hello)
    ended: list[str] = []

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        try:
            await connection.receive(Hello)
        finally:
            ended.append("wait")

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        ended.append("connection")

    client = await Client(served(chat)).connect()
    for _ in range(turns):
        await asyncio.sleep(0)
    await client.close()
    assert ended[-1] == "connection"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_several_handlers_can_wait_for_messages_of_their_own() -> None:
    chat = MessageProtocol("Work", receives=Hello)

    @chat.on(Work, emits=Done, concurrent=True)
    async def work(message: Work, connection: Connection) -> Done:
        return Done(name=f"{message.name} {(await connection.receive(Hello)).name}")

    async with Client(served(chat)) as client:
        await client.send(Work(name="a"))
        await client.send(Work(name="b"))
        await settle()
        await client.send(Hello(name="1"))
        await client.send(Hello(name="2"))
        await client.expect(Done, name="a 1")
        await client.expect(Done, name="b 2")


async def test_a_message_taken_out_of_the_order_passes_limits_and_transforms() -> None:
    chat = MessageProtocol("Work", receives=Hello, rate_limit=Rate(1, burst=2))

    @chat.transform()
    def checked(message: Hello) -> Hello | None:
        return None if message.name == "drop" else message.replace(name=message.name.upper())

    @chat.on(Work, emits=Done)
    async def work(message: Work, connection: Connection) -> Done:
        return Done(name=(await connection.receive(Hello)).name)

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await client.send(Hello(name="drop"), id=2)
        await client.send(Hello(name="fast"), id=3)
        assert await client.expect("ack") == {"type": "ack", "ref": 2}
        assert (await client.expect("error"))["ref"] == 3
        await asyncio.sleep(1)
        await client.send(Hello(name="ann"))
        assert (await client.expect(Done)).name == "ANN"


async def test_a_message_that_is_refused_as_a_wait_ends_is_answered_all_the_same() -> None:
    class Wrong(Reject, code="wrong"):
        pass

    chat = MessageProtocol("Work", receives=Hello)

    @chat.on(Work, emits=Done)
    async def work(message: Work, connection: Connection) -> Done:
        with suppress(TimeoutError):
            await connection.receive(Hello, timeout=1)
        return Done(name="over")

    @chat.transform()
    def checked(message: Hello) -> Hello:
        raise Wrong(detail=message.name)

    @chat.exception_handler(Wrong)
    async def explained(connection: Connection, error: Wrong) -> None:
        await asyncio.sleep(5)

    async with Client(served(chat)) as client:
        await client.send(Work(), id=1)
        await client.send(Hello(name="ann"), id=2)
        await client.expect("done", ref=1, within=2)
        refused = await client.expect("error", ref=2)
        assert (refused["code"], refused["detail"]) == ("wrong", "ann")


async def test_who_floods_instead_of_saying_what_is_asked_is_closed() -> None:
    chat = MessageProtocol("Work", receives=Hello)

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        await connection.receive(Hello)

    @chat.on(Work, emits=Done)
    async def work(message: Work) -> None: ...

    async with Client(served(chat)) as client:
        for _ in range(MAX_INBOX):
            await client.send(Work())
        assert await client.expect_close() == (3501, "bad request")


# What is kept from message to message.


async def test_context_variables_of_handlers_last_and_the_request_does_not() -> None:
    chat = MessageProtocol("Work")
    tenant: ContextVar[str] = ContextVar("tenant", default="none")
    seen: list[tuple[str, Any]] = []

    @chat.on(Work, emits=Done)
    async def work(message: Work, connection: Connection) -> None:
        seen.append((tenant.get(), connection.request.id))
        if message.seconds:
            await asyncio.sleep(message.seconds)
        tenant.set(message.name)

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        seen.append((tenant.get(), connection.request.id))

    app = served(chat)
    async with Client(app) as client, Client(app) as other:
        await client.send(Work(name="red", seconds=1), id=1)
        await client.send(Work(name="blue"), id=2)
        await client.expect("ack", ref=2, within=2)
        await other.request(Work())
    assert seen[:2] == [("none", 1), ("red", 2)]
    assert sorted(map(str, seen[3:])) == ["('', None)", "('blue', None)"]


# Tolerance.


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
