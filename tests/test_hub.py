"""Connections and rooms of one node: what is true after every join, leave and disconnect."""

import asyncio
import enum
from typing import Any

import pytest

from protocol import Connection, History, Message, MessageProtocol, Outbox, Rooms
from protocol.testing import Client, settle
from tests.members import KEY, Came, Failing, Join, Joined, Leave, Left, Rig, Say, Text
from tests.served import served


async def test_members_are_users_and_not_connections() -> None:
    rig = Rig()
    async with rig.client("ann") as one, rig.client("ann") as two, rig.client("bob") as bob:
        await bob.request(Join(room="r1"))
        joined = await one.request(Join(room="r1"), Joined)
        assert (joined.members, joined.count) == (["bob", "ann"], 2)
        assert (await two.request(Join(room="r1"), Joined)).count == 2
        assert (await bob.expect(Came)).user == "ann"
        await bob.expect_nothing()
        await one.request(Leave(room="r1"))
        await bob.expect_nothing()
        await two.close()
        assert (await bob.expect(Left)).user == "ann"
        for client in (one, bob):
            await client.expect_nothing()
    rig.assert_empty()


async def test_a_second_join_changes_nothing_and_asks_again() -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        await bob.request(Join(room="r1"))
        first = await ann.request(Join(room="r1"), Joined)
        again = await ann.request(Join(room="r1"), Joined)
        assert first == again
        assert rig.authorised == ["bob r1", "ann r1", "ann r1"]
        await bob.expect(Came)
        await bob.expect_nothing()


async def test_a_leave_is_of_a_member_only_and_once() -> None:
    rig = Rig()
    async with rig.client("watch") as watch, rig.client("ann") as ann:
        await watch.request(Join(room="r1"))
        assert (await ann.request(Leave(room="r1")))["code"] == "not_a_member"
        await ann.request(Join(room="r1"))
        await watch.expect(Came, user="ann")
        assert (await ann.request(Leave(room="r1")))["type"] == "ack"
        assert (await ann.request(Leave(room="r1")))["code"] == "not_a_member"
        await watch.expect(Left, user="ann")
        await watch.expect_nothing()


@pytest.mark.parametrize("how", ["close", "drop", "slow", "server", "disconnect"])
async def test_a_disconnect_leaves_every_room_once_whatever_killed_the_connection(how: str) -> None:
    rig = Rig(outbox=Outbox(bytes=2048, seconds=5))
    async with rig.client("watch") as watch:
        await watch.request(Join(room="r1"))
        await watch.request(Join(room="quiet-1"))
        ann = await rig.client("ann").connect()
        for room in ("r1", "quiet-1", "kept-1"):
            await ann.request(Join(room=room))
        await watch.expect(Came)
        if how == "close":
            await ann.close()
        elif how == "drop":
            ann.drop()
        elif how == "slow":
            ann.pause()
            for _ in range(10):
                await watch.request(Say(room="quiet-1", text="x" * 500))
                await settle()
        elif how == "server":
            assert ann._task is not None
            ann._task.cancel()
        else:
            await rig.chat.users["ann"].disconnect(4001)
        await settle()
        assert (await watch.expect(Left, within=6)).user == "ann"
        assert {*rig.node.hub.fanout.rooms} == {"r1", "quiet-1"}
        assert {*rig.node.hub.fanout.users} == {"watch"}
        watch.frames.clear()
        await watch.expect_nothing()
        ann.resume()
    rig.assert_empty()


async def test_a_disconnect_takes_nothing_from_who_has_entered_a_room_that_was_left_meanwhile() -> None:
    rig = Rig()
    pauses = iter([1])
    async with rig.client("bob") as bob, rig.client("ann") as ann:
        for name in ("r1", "r2"):
            await ann.request(Join(room=name))
        connection = rig.connection("ann")
        with Failing(rig.node.broker, "unsubscribe", lambda: asyncio.sleep(next(pauses, 0))):
            ann.drop()
            await settle()
            await connection.leave("r2")
            await bob.request(Join(room="r2"))
            await asyncio.sleep(2)
        await rig.chat.rooms["r2"].publish(Text(text="to bob"))
        await bob.expect(Text, text="to bob")


async def test_rooms_joined_at_once_do_not_exceed_the_bound() -> None:
    chat = MessageProtocol("Hub", max_rooms=2)

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None:
        await asyncio.sleep(1)

    @chat.on(Join, concurrent=True)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    app = served(chat)
    async with Client(app) as client:
        for index in range(5):
            await client.send(Join(room=str(index)), id=index)
        await client.expect("error", within=2)
        await settle()
        assert [frame["type"] for frame in client.frames].count("ack") == 2


async def test_membership_may_change_while_a_publication_is_under_way() -> None:
    chat = MessageProtocol("Hub", sends=Text)
    others: list[Connection] = []

    @chat.transform(outbound=True, per_recipient=True)
    def meddle(message: Text, connection: Connection) -> Text:
        for other in others:
            if other is not connection:
                other.stop(4001, "out")
        return message

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)
        others.append(connection)

    app = served(chat)
    async with Client(app) as one, Client(app) as two, Client(app) as three:
        for client in (one, two, three):
            await client.request(Join(room="a"))
        delivery = await chat.rooms["a"].publish(Text(text="x"))
        assert delivery.receivers == 1
        await one.expect(Text)
        assert await two.expect_close() == (4001, "out")
        assert await three.expect_close() == (4001, "out")


async def test_a_room_named_by_the_member_of_an_enum_is_the_room_of_its_value() -> None:
    class Name(str, enum.Enum):  # noqa: UP042 unlike a StrEnum it formats as `Name.LOBBY`
        LOBBY = "lobby"

    class Enter(Message, type="enter"):
        room: Name

    chat = MessageProtocol("Chat", sends=Text)

    @chat.room("{name}", history=History())
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Enter)
    async def enter(message: Enter, connection: Connection, rooms: Rooms) -> None:
        await connection.join(message.room)
        await rooms["lobby"].publish(Text(text="by value"))
        await rooms[message.room].publish(Text(text="by member"))

    app = served(chat)
    async with Client(app) as client:
        await client.request(Enter(room=Name.LOBBY))
        assert await client.expect("text") == {"type": "text", "text": "by value", "offset": 1}
        assert await client.expect("text") == {"type": "text", "text": "by member", "offset": 2}


async def test_a_task_that_a_handler_leaves_behind_is_not_part_of_its_message() -> None:
    chat = MessageProtocol("Hub", sends=Text)
    tasks: list[asyncio.Task[Any]] = []

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection, rooms: Rooms) -> None:
        async def later() -> None:
            await asyncio.sleep(1)
            await connection.join(message.room)
            await rooms[message.room].publish(Text(text="later"))

        tasks.append(asyncio.create_task(later()))

    app = served(chat)
    async with Client(app, user="ann") as client:
        await client.request(Join(room="a"), key=KEY)
        await client.expect(Text, text="later", within=2)
        assert await chat.at(app).publisher.repeated("a", ("ann", KEY)) is None
