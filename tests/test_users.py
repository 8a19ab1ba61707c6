import asyncio
from typing import Any

from protocol import Connection, Delivery, MessageProtocol, Users, codes
from protocol.testing import Client, settle
from tests.members import Has, Join, Joined, Leave, Rig, Status, Text
from tests.served import served


async def test_a_handle_asks_the_hub_and_creates_nothing() -> None:
    asked: list[tuple[Any, ...]] = []

    class Hub:
        async def send_to_user(self, *args: Any) -> Delivery:
            asked.append(args)
            return Delivery(receivers=1)

        def connections_of(self, user: str) -> tuple[Any, ...]:
            asked.append((user,))
            return ()

        async def disconnect_user(self, *args: Any) -> None:
            asked.append(args)

    user = Users(Hub())["bob"]
    message: Any = object()
    assert (await user.send(message)).receivers == 1
    await user.disconnect()
    await user.disconnect(4000, "bye")
    assert (repr(user), user.connections()) == ("UserHandle('bob')", ())
    assert asked == [
        ("bob", message, None),
        ("bob", codes.CLOSE_FORBIDDEN, None),
        ("bob", 4000, "bye"),
        ("bob",),
    ]


async def test_a_direct_message_reaches_all_tabs_and_says_when_nobody_is_there() -> None:
    rig = Rig()
    async with rig.client("ann") as one, rig.client("ann") as two, rig.client("bob") as bob:
        delivery = await rig.chat.users["ann"].send(Text(text="psst"))
        assert delivery.receivers == 2
        for client in (one, two):
            await client.expect(Text, text="psst")
        await bob.expect_nothing()
        assert (await rig.chat.users["carl"].send(Text(text="psst"))).receivers == 0
        mine = rig.chat.users["ann"].connections()
        await mine[0].close()
        # A connection that is closing is nobody to talk to.
        assert (await rig.chat.users["ann"].send(Text(text="psst"), exclude=mine[1])).receivers == 0


async def test_a_status_reaches_everybody_concerned_once() -> None:
    rig = Rig()
    async with rig.client("ann") as one, rig.client("ann") as two, rig.client("bob") as bob:
        for room in ("r1", "r2"):
            for client in (one, two, bob):
                await client.request(Join(room=room))
        await settle()
        bob.frames.clear()
        one.frames.clear()
        await one.request(Status(status="away"))
        assert (await two.expect(Has)).status == "away"
        assert (await bob.expect(Has)).status == "away"
        two.frames.clear()
        for client in (one, two, bob):
            await client.expect_nothing()
        await one.request(Status(status="away"))
        await bob.expect_nothing()


async def test_a_status_reaches_who_is_joining_one_of_the_rooms_once_and_behind_the_answer() -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        for client in (ann, bob):
            await client.request(Join(room="r1"))
        await ann.request(Join(room="r2"))
        await ann.request(Join(room="r3"))
        await bob.send(Join(room="r2", wait=5), id=1)
        await settle()
        bob.frames.clear()
        await ann.request(Status(status="away"))
        await bob.expect_nothing()
        await bob.expect(Joined, within=6)
        assert (await bob.expect(Has)).status == "away"
        await bob.expect_nothing()


async def test_a_user_can_be_disconnected_everywhere_even_by_itself() -> None:
    chat = MessageProtocol("Hub")

    @chat.on(Leave)
    async def leave(message: Leave, users: Users, connection: Connection) -> None:
        await users[connection.user.id].disconnect(4001, "out")
        await asyncio.sleep(3600)

    app = served(chat)
    async with Client(app, user="ann") as one, Client(app, user="ann") as two, Client(app, user="bob") as bob:
        await one.send(Leave(room=""), id=1)
        assert await one.expect_close() == (4001, "out")
        assert await two.expect_close() == (4001, "out")
        await bob.expect_nothing()
        assert bob.closed is None
