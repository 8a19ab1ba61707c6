"""What is cancelled, by the client or inside a handler, and what is answered then."""

import asyncio

import pytest

from protocol import Connection, MessageProtocol
from protocol.testing import Client, Refused, settle
from tests.served import served
from tests.working import Done, Work, cancelled, swallowed_cancellation, working


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
        await swallowed_cancellation()
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
        await swallowed_cancellation()
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
