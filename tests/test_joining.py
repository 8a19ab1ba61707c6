"""What comes between a join and the first live message: its answer, and what was held back meanwhile."""

import asyncio
from typing import Any

import pytest

from protocol import Connection, History, Message, MessageProtocol, Outbox, Position
from protocol.testing import Client, settle
from tests.members import Join, Joined, Leave, Rig, Say, Text, joinable
from tests.misdeclared import place
from tests.served import served


async def test_no_live_message_comes_before_the_answer_to_the_join() -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        await bob.request(Join(room="r1"))
        await ann.send(Join(room="r1", wait=5), id=1)
        await settle()
        for text in "abc":
            await bob.request(Say(room="r1", text=text))
        await ann.expect_nothing()
        await ann.expect(Joined, within=6)
        await settle()
        assert [frame["text"] for frame in ann.frames] == ["a", "b", "c"]


async def test_the_answer_to_a_join_before_a_leave_lets_nothing_of_the_next_join_pass() -> None:
    chat = MessageProtocol("Hub", sends=Text)

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Join, concurrent=True)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)
        await asyncio.sleep(message.wait)

    @chat.on(Leave)
    async def leave(message: Leave, connection: Connection) -> None:
        await connection.leave(message.room)

    app = served(chat)
    async with Client(app) as other, Client(app) as client:
        await other.request(Join(room="a"))
        await client.send(Join(room="a", wait=5), id=1)
        await settle()
        await client.request(Leave(room="a"))
        await client.send(Join(room="a", wait=10), id=2)
        await client.expect("ack", within=6, ref=1)
        await chat.rooms["a"].publish(Text(text="after the second join"))
        await client.expect_nothing()
        await client.expect("ack", within=6, ref=2)
        await client.expect(Text)


async def test_who_is_held_back_while_joining_counts_as_a_receiver() -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        await bob.request(Join(room="kept-1"))
        await ann.send(Join(room="kept-1", wait=5), id=1)
        await settle()
        [connection] = rig.chat.users["ann"].connections()
        room = rig.chat.rooms["kept-1"]
        assert (await room.publish(Text(text="a"))).receivers == 2
        assert (await room.publish(Text(text="b"), exclude=connection)).receivers == 1
        assert (await room.publish(Text(text="c"))).receivers == 2
        await ann.expect(Joined, within=6)
        await settle()
        assert [frame["text"] for frame in ann.frames if frame["type"] == "text"] == ["a", "c"]


@pytest.mark.parametrize("room", ["quiet-1", "kept-1"])
async def test_too_much_that_waits_for_the_answer_ends_the_connection(room: str) -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        await bob.request(Join(room=room))
        await ann.send(Join(room=room, wait=5), id=1)
        await settle()
        for index in range(1000):
            await rig.chat.rooms[room].publish(Text(text=str(index)))
        await settle()
        assert ann.closed is None
        await rig.chat.rooms[room].publish(Text(text="one too many"))
        assert await ann.expect_close() == (3010, "insufficient state")
        await bob.expect(Text, text="one too many")


async def test_what_waits_for_the_answer_to_a_join_is_not_dropped_for_what_waits_beside_it() -> None:
    class Line(Message, type="line", slow="drop_oldest"):
        text: str

    chat = MessageProtocol("Hub", sends=Line, outbox=Outbox(bytes=2048))

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)
        await asyncio.sleep(1)

    app = served(chat)
    async with Client(app) as client:
        await client.send(Join(room="a"))
        await settle()
        for size in (400, 1800, 400):
            await chat.rooms["a"].publish(Line(text="x" * size))
        for size in (400, 1800, 400):
            assert len((await client.expect(Line, within=2)).text) == size


def assert_follows_on(frames: list[dict[str, Any]], position: int) -> None:
    """Whoever goes on from the last ``joined`` that has recovered nothing, or from the last message, lacks none."""
    for frame in frames:
        if frame["type"] == "text":
            assert frame["offset"] == position + 1
            position += 1
        elif frame["type"] == "joined" and not frame["recovered"]:
            assert frame["offset"] == position


@pytest.mark.parametrize("recovers", [True, False])
async def test_a_second_join_before_the_replay_skips_nothing_of_it(recovers: bool) -> None:
    rig = Rig()
    async with rig.client("bob") as bob:
        await bob.request(Join(room="kept-1"))
        for text in "abc":
            await rig.chat.rooms["kept-1"].publish(Text(text=text))
        epoch = (await rig.node.broker.history("room:kept-1", history=History())).position.epoch
        async with rig.client("ann") as ann:
            await ann.send(Join(room="kept-1", since=Position(0, epoch) if recovers else None, wait=1), id=1)
            await ann.send(Join(room="kept-1"), id=2)
            await settle()
            await rig.chat.rooms["kept-1"].publish(Text(text="held back"))
            await asyncio.sleep(1)
            await settle()
            assert [frame["type"] for frame in ann.frames[:2]] == ["joined", "joined"]
            assert ann.frames[-1]["text"] == "held back"
            assert_follows_on(ann.frames, 0 if recovers else 3)


async def test_a_second_join_skips_no_message_that_waits_until_it_fits() -> None:
    rig = Rig(outbox=Outbox(bytes=8192))
    async with rig.client("bob") as bob:
        await bob.request(Join(room="kept-1"))
        for size in (10, 9000, 10):
            await rig.chat.rooms["kept-1"].publish(Text(text="x" * size))
            await settle()
        epoch = (await rig.node.broker.history("room:kept-1", history=History())).position.epoch
        async with rig.client("ann") as ann:
            ann.pause()
            await ann.send(Join(room="kept-1", since=Position(0, epoch)))
            await settle()
            connection = rig.connection("ann")
            assert connection.holds(connection.replays[0])
            await ann.send(Join(room="kept-1"))
            await settle()
            ann.resume()
            await settle()
            assert [frame["offset"] for frame in ann.frames] == [3, 1, 1, 2, 3]
            assert_follows_on(ann.frames, 0)


async def test_a_second_join_skips_nothing_that_is_on_its_way_to_the_node() -> None:
    rig = Rig()
    async with rig.client("ann") as ann:
        await ann.request(Join(room="kept-1"))
        await rig.chat.rooms["kept-1"].publish(Text(text="a"))
        late: list[Any] = []
        rig.node.broker._deliver = late.append  # type: ignore[attr-defined]
        await rig.chat.rooms["kept-1"].publish(Text(text="late"))
        await ann.send(Join(room="kept-1"))
        await settle()
        rig.node.hub.fanout.deliver(*late)
        await settle()
        assert [frame["offset"] for frame in ann.frames] == [1, 1, 2]
        assert_follows_on(ann.frames, 0)


@pytest.mark.parametrize("answer", [False, True, 0, ""])
async def test_a_room_function_that_returns_anything_lets_nobody_in(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    chat = MessageProtocol("Hub")

    @chat.room("{name}")
    async def room(connection: Connection, name: str):  # type: ignore[no-untyped-def]
        return answer

    app = joinable(chat)
    async with Client(app, user="ann") as ann:
        assert (await ann.request(Join(room="a")))["code"] == "internal_error"
        assert (await chat.rooms["a"].members()).count == 0
    assert caplog.records[0].exc_info is not None
    assert str(caplog.records[0].exc_info[1]) == (
        f"{place(room)}: it returned {type(answer).__name__}, and a room function answers by raising Reject, or by "
        f"nothing: nobody is let in."
    )
