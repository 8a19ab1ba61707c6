"""Rooms with history: what was missed comes in full and in order, or the client starts over."""

import asyncio

from protocol import Connection, History, MessageProtocol, Outbox, Position
from protocol.testing import Client, settle
from tests.members import Failing, Join, Joined, Leave, Rig, Say, Text, joinable


async def test_who_comes_back_gets_what_was_missed_then_what_is_live() -> None:
    rig = Rig()
    async with rig.client("bob") as bob:
        await bob.request(Join(room="kept-1"))
        async with rig.client("ann") as ann:
            first = await ann.request(Join(room="kept-1"), Joined)
        assert (first.offset, first.recovered) == (0, False)
        answers = [await bob.request(Say(room="kept-1", text=text)) for text in "ab"]
        assert [answer["offset"] for answer in answers] == [1, 2]
        epoch = (await rig.node.broker.history("room:kept-1", history=History())).position.epoch
        async with rig.client("ann") as ann:
            await ann.send(Join(room="kept-1", since=Position(0, epoch), wait=1), id=1)
            await settle()
            await bob.request(Say(room="kept-1", text="c"))
            back = await ann.expect(Joined, within=2)
            assert back.recovered
            await settle()
            assert [(frame["text"], frame["offset"]) for frame in ann.frames if frame["type"] == "text"] == [
                ("a", 1), ("b", 2), ("c", 3),
            ]  # fmt: skip


async def test_a_long_recovery_keeps_the_pace_of_the_outbox() -> None:
    rig = Rig(outbox=Outbox(bytes=1 << 16))
    async with rig.client("bob") as bob:
        await bob.request(Join(room="kept-1"))
        for index in range(500):
            await rig.chat.rooms["kept-1"].publish(Text(text=f"{index} {'x' * 4000}"))
        bob.frames.clear()
        epoch = (await rig.node.broker.history("room:kept-1", history=History())).position.epoch
        async with rig.client("ann") as ann:
            ann.pause()
            await ann.send(Join(room="kept-1", since=Position(0, epoch)))
            await settle()
            # Room is left for what is live elsewhere.
            assert 0 < rig.node._budget.used < 1 << 15
            ann.resume()
            await ann.expect(Text, text=f"499 {'x' * 4000}")
            offsets = [frame["offset"] for frame in ann.frames if frame["type"] == "text"]
            assert offsets == list(range(1, 500))


async def test_a_message_larger_than_what_is_free_waits_in_a_recovery() -> None:
    rig = Rig(outbox=Outbox(bytes=2048))
    async with rig.client("bob") as bob:
        await bob.request(Join(room="kept-1"))
        for size in (10, 3000, 10, 5000):
            await rig.chat.rooms["kept-1"].publish(Text(text="x" * size))
            await settle()
        epoch = (await rig.node.broker.history("room:kept-1", history=History())).position.epoch
        async with rig.client("ann") as ann:
            await ann.request(Join(room="kept-1", since=Position(0, epoch)))
            await settle()
            assert [len(frame["text"]) for frame in ann.frames if frame["type"] == "text"] == [
                10, 3000, 10, 5000,
            ]  # fmt: skip


async def test_recovery_and_history_pass_the_transforms_of_their_recipient() -> None:
    chat = MessageProtocol("Hub", sends=Text)

    @chat.room("{name}", history=History())
    async def kept(connection: Connection, name: str) -> None: ...

    @chat.transform(outbound=True, per_recipient=True)
    def addressed(message: Text, connection: Connection) -> Text:
        return Text(text=f"{message.text} for {connection.user.id}")

    app = joinable(chat)
    async with Client(app, user="ann") as ann:
        room = chat.rooms["a"]
        for text in "abcd":
            await room.publish(Text(text=text))
        epoch = (await chat.at(app).broker.history("room:a", history=History())).position.epoch
        await ann.request(Join(room="a", since=Position(2, epoch)))
        assert await ann.expect("text") == {"type": "text", "text": "c for ann", "offset": 3}
        assert await ann.expect("text") == {"type": "text", "text": "d for ann", "offset": 4}
        [connection] = chat.users["ann"].connections()
        for message in await room.history(limit=1):
            await connection.send(message)
        assert (await ann.expect("text"))["text"] == "d for ann"


async def test_a_hole_in_the_stream_ends_those_who_are_live() -> None:
    rig = Rig()
    async with rig.client("ann") as ann:
        await ann.request(Join(room="kept-1"))
        await rig.chat.rooms["kept-1"].publish(Text(text="a"))
        await settle()
        rig.node.broker._deliver = lambda publication: None  # type: ignore[attr-defined]
        await rig.chat.rooms["kept-1"].publish(Text(text="lost"))
        rig.node.broker._deliver = rig.node.hub.fanout.deliver  # type: ignore[attr-defined]
        await rig.chat.rooms["kept-1"].publish(Text(text="c"))
        assert await ann.expect_close() == (3010, "insufficient state")


async def test_a_loss_before_the_first_message_is_a_hole_too() -> None:
    rig = Rig()
    async with rig.client("ann") as ann:
        await ann.request(Join(room="kept-1"))
        rig.node.broker._deliver = lambda publication: None  # type: ignore[attr-defined]
        await rig.chat.rooms["kept-1"].publish(Text(text="lost"))
        rig.node.broker._deliver = rig.node.hub.fanout.deliver  # type: ignore[attr-defined]
        await rig.chat.rooms["kept-1"].publish(Text(text="b"))
        assert await ann.expect_close() == (3010, "insufficient state")


async def test_another_epoch_ends_those_who_are_live() -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        await ann.request(Join(room="kept-1"))
        await bob.request(Join(room="r1"))
        await rig.chat.rooms["kept-1"].publish(Text(text="a"))
        # What a broker does that has lost everything.
        rig.node.broker._bus._streams.clear()  # type: ignore[attr-defined]
        rig.node.broker._bus._due.clear()  # type: ignore[attr-defined]
        await rig.chat.rooms["kept-1"].publish(Text(text="first of another stream"))
        assert await ann.expect_close() == (3010, "insufficient state")
        assert [frame["text"] for frame in ann.frames if frame["type"] == "text"] == ["a"]
        assert bob.closed is None


async def test_who_enters_a_room_as_it_empties_follows_the_stream_that_is_there_then() -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        await ann.request(Join(room="kept-1"))
        await rig.chat.rooms["kept-1"].publish(Text(text="a"))

        async def lost() -> None:
            # Nobody on this node hears of it, and bob waits for the door meanwhile.
            rig.node.broker._bus._streams.clear()  # type: ignore[attr-defined]
            rig.node.broker._bus._due.clear()  # type: ignore[attr-defined]
            await bob.send(Join(room="kept-1"), id=1)
            await asyncio.sleep(1)

        with Failing(rig.node.broker, "unsubscribe", lost):
            await ann.send(Leave(room="kept-1"), id=1)
            await bob.expect(Joined, within=2)
        await rig.chat.rooms["kept-1"].publish(Text(text="first of another stream"))
        await bob.expect(Text, text="first of another stream", offset=1)
        assert bob.closed is None
