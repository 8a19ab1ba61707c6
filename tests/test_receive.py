"""Messages that a handler or hook takes out of the order."""

import asyncio
from contextlib import suppress

import pytest

from protocol import Connection, MessageProtocol, Reject
from protocol.limits import Rate
from protocol.reader import MAX_INBOX
from protocol.testing import Client, settle
from tests.served import served
from tests.working import Done, Hello, Work


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
