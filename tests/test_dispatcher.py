"""Messages in order, one answer for each id, and what is kept from one to the next."""

import asyncio
from contextvars import ContextVar
from typing import Any

from protocol import Connection, MessageProtocol
from protocol.testing import Client
from tests.served import served
from tests.working import Done, Work, working


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
