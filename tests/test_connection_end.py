"""What happens to messages under way when a connection ends, whatever ends it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI

from protocol import Connection, Disconnect, MessageProtocol, User
from protocol.reader import MAX_INBOX
from protocol.testing import Client, settle
from tests.served import served
from tests.working import Done, Enter, Work, swallowed_cancellation, working


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
        await swallowed_cancellation()
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
