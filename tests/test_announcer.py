"""What rooms are told of who comes and goes: in order, and at the hooks' own pace."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import Any

import pytest

from protocol import Connection, Message, MessageProtocol, Room, Rooms, User, Users
from protocol.announcer import Announcer
from protocol.exceptions import Unavailable
from protocol.testing import Client, settle
from tests.members import Came, Join, Leave, Left, Text, joinable
from tests.served import served


class Greet(Message, type="greet"):
    """Join, and say something."""

    room: str


class Rig:
    """An application whose hooks take as long as ``seconds`` says of a user, and what they have been called for."""

    def __init__(self) -> None:
        self.chat = chat = MessageProtocol("Told", sends=Text)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.told: list[str] = []

        @chat.room("{name}")
        async def anyone(connection: Connection, name: str) -> None: ...

        @chat.on_join
        async def came(user: User, room: Room) -> Came:
            self.told.append(f"{user.id} came to {room.name}")
            await asyncio.sleep(self.seconds[user.id])
            return Came(user=user.id)

        @chat.on_leave
        async def left(user: User, room: Room) -> Left:
            self.told.append(f"{user.id} left {room.name}")
            await asyncio.sleep(self.seconds[user.id])
            self.told.append(f"{user.id} has left {room.name}")
            return Left(user=user.id)

        @chat.on_disconnect
        async def gone(connection: Connection) -> None:
            self.told.append(f"{connection.user.id} is gone")

        @chat.on(Join, concurrent=True)
        async def join(message: Join, connection: Connection) -> None:
            await connection.join(message.room)

        @chat.on(Leave, concurrent=True)
        async def leave(message: Leave, connection: Connection) -> None:
            await connection.leave(message.room)

        @chat.on(Greet)
        async def greet(message: Greet, connection: Connection, rooms: Rooms) -> None:
            await connection.join(message.room)
            await rooms[message.room].publish(Text(text="hello"))

        self.app = served(chat)

    def client(self, user: str) -> Client:
        return Client(self.app, user=user)

    @property
    def announcer(self) -> Announcer:
        return self.chat.at(self.app).hub._announcer

    async def members(self, room: str) -> list[str]:
        return [member.user for member in (await self.chat.rooms[room].members()).users]


async def test_others_hear_of_who_joins_before_they_hear_from_them() -> None:
    rig = Rig()
    rig.seconds["ann"] = 5
    async with rig.client("watch") as watch, rig.client("ann") as ann, rig.client("ann") as tab:
        await watch.request(Join(room="a"))
        await ann.send(Greet(room="a"))
        await settle()
        # The second tab is no news of its own, and could speak before anybody knows whose it is.
        await tab.send(Greet(room="a"))
        assert watch.frames == []
        await asyncio.sleep(6)
        assert [frame["type"] for frame in watch.frames] == ["came", "text", "text"]


async def test_a_slow_hook_holds_up_who_enters_or_leaves_its_room_and_nobody_else() -> None:
    rig = Rig()
    rig.seconds["ann"] = 5
    async with (
        rig.client("bob") as bob,
        rig.client("dora") as dora,
        rig.client("ann") as ann,
        rig.client("carl") as carl,
    ):
        await bob.request(Join(room="a"))
        await dora.request(Join(room="a"))
        await ann.send(Join(room="a"), id=1)
        await settle()
        assert (await carl.request(Join(room="b")))["type"] == "ack"
        assert (await carl.request(Leave(room="b")))["type"] == "ack"
        await carl.send(Join(room="a"), id=1)
        await bob.send(Leave(room="a"), id=1)
        dora.drop()
        await settle()
        assert await rig.members("a") == ["bob", "ann"]
        # Answers wait for what is told before; so does the room, for whoever would come between.
        for client in (ann, carl):
            assert client.frames == []
        for client in (ann, bob, carl):
            await client.expect("ack", within=6)
        told = [told for told in rig.told if told.endswith("a")]
        assert told[:5] == [
            "bob came to a",
            "dora came to a",
            "ann came to a",
            "dora left a",
            "dora has left a",
        ]
        assert sorted(told[5:]) == ["bob has left a", "bob left a", "carl came to a"]


async def test_who_enters_hears_who_leaves_only_if_they_found_them_there() -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob, rig.client("carl") as carl:
        await carl.request(Join(room="a"))
        await ann.send(Join(room="a"))
        await carl.send(Leave(room="a"))
        await bob.send(Join(room="a"))
        await settle()
        assert {frame["user"] for frame in ann.frames} == {"bob", "carl"}
        bob_was_first = rig.told.index("bob came to a") < rig.told.index("carl left a")
        assert [frame["user"] for frame in bob.frames] == (["carl"] if bob_was_first else [])


async def test_a_hook_may_throw_somebody_out() -> None:
    chat = MessageProtocol("Told")

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room, users: Users) -> Came:
        if user.id == "mallory":
            for connection in users[user.id].connections():
                await connection.leave(room.name)
        return Came(user=user.id)

    @chat.on_leave
    async def left(user: User, room: Room) -> Left:
        return Left(user=user.id)

    app = joinable(chat)
    async with Client(app, user="watch") as watch, Client(app, user="mallory") as mallory:
        await watch.request(Join(room="a"))
        assert (await mallory.request(Join(room="a")))["type"] == "ack"
        await settle()
        assert [(frame["type"], frame["user"]) for frame in watch.frames] == [
            ("came", "mallory"), ("left", "mallory"),
        ]  # fmt: skip
        assert {member.user for member in (await chat.rooms["a"].members()).users} == {"watch"}


async def joined(connection: Connection, room: str) -> None:
    await connection.join(room)


async def joined_by_a_task(connection: Connection, room: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(joined(connection, room))


@pytest.mark.parametrize("enter", [joined, joined_by_a_task])
async def test_hooks_may_let_each_other_s_rooms_be_joined(enter: Callable[[Connection, str], Any]) -> None:
    chat = MessageProtocol("Told")
    told: list[str] = []

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room, users: Users) -> None:
        told.append(f"{user.id} {room.name}")
        for connection in users["pet"].connections():
            for name in "ab":
                await enter(connection, name)

    app = joinable(chat)
    async with Client(app, user="pet"), Client(app, user="ann") as ann:
        assert (await ann.request(Join(room="a")))["type"] == "ack"
        await settle()
        assert told == ["ann a", "pet b", "pet a"]


async def test_a_hook_may_let_somebody_join_again_who_is_just_joining() -> None:
    chat = MessageProtocol("Told")

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room, users: Users) -> None:
        for connection in users[user.id].connections():
            assert (await connection.join(room.name)).members.count == 1

    app = joinable(chat)
    async with Client(app, user="ann") as ann:
        assert (await ann.request(Join(room="a")))["type"] == "ack"


async def test_what_a_hook_leaves_running_waits_for_its_announcements() -> None:
    chat = MessageProtocol("Told", sends=Text)
    tasks: list[asyncio.Task[None]] = []

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room, users: Users, rooms: Rooms) -> Came:
        async def later(pet: Connection) -> None:
            await asyncio.sleep(1)
            await pet.join("a")
            await rooms["a"].publish(Text(text="hello"))

        if user.id == "ann":
            tasks.extend(asyncio.create_task(later(pet)) for pet in users["pet"].connections())
        else:
            await asyncio.sleep(1)
        return Came(user=user.id)

    app = joinable(chat)
    async with Client(app, user="pet"), Client(app, user="ann") as ann:
        await ann.request(Join(room="a"))
        await asyncio.gather(*tasks)
        assert [frame["type"] for frame in ann.frames] == ["came", "text"]


async def test_who_gives_up_while_the_room_is_told_of_others_was_never_there() -> None:
    rig = Rig()
    rig.seconds["slow"] = 5
    async with rig.client("watch") as watch, rig.client("slow") as slow, rig.client("ann") as ann:
        await watch.request(Join(room="a"))
        await slow.send(Join(room="a"), id=1)
        await settle()
        await ann.send(Join(room="a"), id="join")
        await settle()
        await ann.send({"type": "cancel", "ref": "join"})
        assert (await ann.expect("error"))["code"] == "cancelled"
        assert await rig.members("a") == ["watch", "slow"]
        await slow.expect("ack", within=6)
        assert rig.told == ["watch came to a", "slow came to a"]
        assert (await ann.request(Join(room="a")))["type"] == "ack"
        assert rig.told[-1] == "ann came to a"


@pytest.mark.parametrize("how", ["cancel", "drop"])
async def test_who_is_gone_while_others_are_told_leaves_behind_that(how: str) -> None:
    rig = Rig()
    rig.seconds["ann"] = 1
    async with rig.client("watch") as watch, rig.client("ann") as ann:
        await watch.request(Join(room="a"))
        await ann.send(Join(room="a"), id="join")
        await settle()
        if how == "cancel":
            await ann.send({"type": "cancel", "ref": "join"})
            assert (await ann.expect("error"))["code"] == "cancelled"
        else:
            ann.drop()
            await settle()
        assert await rig.members("a") == ["watch"]
        await watch.expect(Left, within=3)
        assert rig.told[:4] == ["watch came to a", "ann came to a", "ann left a", "ann has left a"]


async def test_a_join_that_somebody_undoes_ends_with_what_was_told_of_it() -> None:
    rig = Rig()
    rig.seconds["ann"] = 5
    async with rig.client("ann") as ann:
        await ann.send(Join(room="a"), id="join")
        await settle()
        await ann.send(Leave(room="a"), id="leave")
        await settle()
        # Others are being told, so both wait.
        assert ann.frames == []
        await ann.send({"type": "cancel", "ref": "join"})
        assert (await ann.expect("error", ref="join"))["code"] == "cancelled"
        assert (await ann.expect("error", ref="leave", within=11))["code"] == "not_a_member"
        assert rig.told == ["ann came to a", "ann left a", "ann has left a"]


async def test_who_is_put_in_by_a_hook_and_gone_before_it_returns_was_never_there() -> None:
    chat = MessageProtocol("Told")
    told: list[str] = []

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room, users: Users) -> None:
        told.append(user.id)
        for connection in users["pet"].connections():
            await connection.join(room.name)
        await asyncio.sleep(5)

    app = joinable(chat)
    async with Client(app, user="pet") as one, Client(app, user="pet") as two, Client(app, user="ann") as ann:
        await ann.send(Join(room="a"), id=1)
        await settle()
        for tab in (one, two):
            await tab.close()
        await ann.expect("ack", within=6)
        assert told == ["ann"]


async def test_nobody_relies_on_a_join_that_may_be_taken_back() -> None:
    rig = Rig()
    rig.seconds["ann"] = 1
    async with rig.client("ann") as ann:
        for id in ("first", "second"):
            await ann.send(Join(room="a"), id=id)
            await settle()
        await ann.send({"type": "cancel", "ref": "first"})
        await ann.expect("error", ref="first")
        await ann.expect("ack", ref="second", within=5)
        assert await rig.members("a") == ["ann"]
        assert rig.told == ["ann came to a", "ann left a", "ann has left a", "ann came to a"]


async def test_who_gives_up_waiting_for_a_turn_has_changed_nothing() -> None:
    rig = Rig()
    rig.seconds["slow"] = 5
    async with rig.client("ann") as ann, rig.client("slow") as slow:
        await ann.request(Join(room="a"))
        await slow.send(Join(room="a"), id=1)
        await settle()
        for _ in range(20):
            for message in (Leave(room="a"), Join(room="a")):
                await ann.send(message, id="again")
                await settle()
                await ann.send({"type": "cancel", "ref": "again"})
                await ann.expect("error")
        await slow.expect("ack", within=6)
        await settle()
        assert await rig.members("a") == ["ann", "slow"]
        assert rig.told == ["ann came to a", "slow came to a"]
        assert rig.announcer._lines == {}


async def test_what_waits_is_bounded_by_who_is_there() -> None:
    rig = Rig()
    rig.seconds["slow"] = 5
    async with (
        rig.client("slow") as slow,
        rig.client("ann") as one,
        rig.client("ann") as two,
        rig.client("bob") as bob,
    ):
        for client in (one, two, bob):
            await client.request(Join(room="a"))
        await slow.send(Join(room="a"), id=1)
        await settle()
        for client in (one, two, bob):
            client.drop()
        await settle()
        assert list(rig.announcer._lines["a"].waiting) == [("ann", False), ("bob", False)]
        await slow.expect("ack", within=6)
        await settle()
        assert rig.announcer._lines == {}


async def test_who_leaves_and_is_back_is_told_as_that() -> None:
    rig = Rig()
    rig.seconds["slow"] = 5
    async with rig.client("one") as one, rig.client("slow") as slow:
        await one.request(Join(room="a"))
        await slow.send(Join(room="a"), id=1)
        await settle()
        await one.send(Leave(room="a"), id=1)
        await settle()
        await one.send(Join(room="a"), id=2)
        await one.expect("ack", ref=1, within=6)
        await one.expect("ack", ref=2)
        assert rig.told[2:] == ["one left a", "one has left a", "one came to a"]


async def test_a_connection_is_gone_when_its_rooms_have_been_told() -> None:
    rig = Rig()
    async with rig.client("ann") as ann:
        await ann.request(Join(room="a"))
        rig.seconds["ann"] = 1
    assert rig.told == ["ann came to a", "ann left a", "ann has left a", "ann is gone"]


async def test_a_node_that_closes_lets_hooks_finish_though_nobody_waits_for_them() -> None:
    rig = Rig()
    rig.seconds["ann"] = 5
    async with rig.client("ann") as ann:
        await ann.send(Join(room="a"), id="join")
        await settle()
        await ann.send({"type": "cancel", "ref": "join"})
        await ann.expect("error", ref="join")
        await rig.chat.nodes.close(rig.app)
        assert rig.told == ["ann came to a", "ann is gone", "ann left a", "ann has left a"]


async def test_a_large_room_is_not_told_who_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.announcer.LISTED", 2)
    rig = Rig()
    async with rig.client("one") as one, rig.client("two") as two, rig.client("three") as three:
        for client in (one, two, three):
            await client.request(Join(room="a"))
        await three.request(Leave(room="a"))
        assert "three left a" not in rig.told
        await two.request(Leave(room="a"))
        assert "two left a" in rig.told


async def test_hooks_run_in_the_context_of_who_has_caused_them() -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    chat = MessageProtocol("Told")
    seen: list[tuple[str, str]] = []

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room) -> None:
        seen.append((user.id, tenant.get()))
        await asyncio.sleep(1)

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        tenant.set(f"tenant of {connection.user.id}")
        await connection.join(message.room)

    app = served(chat)
    async with Client(app, user="ann") as ann, Client(app, user="bob") as bob:
        for client in (ann, bob):
            await client.send(Join(room="a"), id=1)
            await settle()
        for client in (ann, bob):
            await client.expect("ack", within=3)
    assert seen == [("ann", "tenant of ann"), ("bob", "tenant of bob")]


async def test_a_departure_that_the_store_cannot_judge_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    async with rig.client("ann") as ann, rig.client("bob") as bob:
        for client in (ann, bob):
            await client.request(Join(room="a"))
        presence = rig.chat.at(rig.app).presence

        async def members(room: str, *, limit: int = 0) -> Any:
            raise Unavailable("It does not answer.")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(presence, "members", members)
            assert (await ann.request(Leave(room="a")))["type"] == "ack"
        assert "nothing is announced" in caplog.text
        assert "ann left a" not in rig.told
        await ann.request(Join(room="a"))
        assert rig.told[-1] == "ann came to a"


async def test_a_hook_that_fails_undoes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    chat = MessageProtocol("Hub", sends=Text)

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def fail(user: User, room: Room) -> None:
        raise LookupError

    @chat.on_join
    async def came(user: User, room: Room) -> Came:
        return Came(user=user.id)

    app = joinable(chat)
    async with Client(app, user="ann") as ann, Client(app, user="bob") as bob:
        assert (await ann.request(Join(room="a")))["type"] == "ack"
        assert (await bob.request(Join(room="a")))["type"] == "ack"
        await ann.expect(Came, user="bob")
    assert caplog.text.count("Traceback") == 2


async def test_a_hook_that_awaits_what_is_cancelled_keeps_nobody_in_a_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = MessageProtocol("Hub")
    gone: list[str] = []

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on_join
    @chat.on_leave
    async def stray(user: User, room: Room) -> None:
        task = asyncio.create_task(asyncio.sleep(1))
        task.cancel()
        await task

    @chat.on_leave
    async def left(user: User, room: Room) -> Left:
        return Left(user=user.id)

    @chat.on_disconnect
    async def disconnected(connection: Connection) -> None:
        gone.append(connection.user.id)

    app = joinable(chat)
    async with Client(app, user="bob") as bob:
        async with Client(app, user="ann") as ann:
            for name in "ab":
                for client in (ann, bob):
                    assert (await client.request(Join(room=name)))["type"] == "ack"
        for _ in "ab":
            await bob.expect(Left, user="ann")
        assert gone == ["ann"]
        assert len(chat.at(app).hub.fanout.connections) == 1
    assert caplog.text.count("stray") >= 6


@pytest.mark.parametrize("seed", range(30))
async def test_who_comes_and_goes_is_told_by_turns_whatever_races(seed: int) -> None:
    random = Random(seed)
    rig = Rig()

    async def wander(user: str) -> None:
        async with rig.client(user) as client:
            for id in range(12):
                await asyncio.sleep(random.random())
                rig.seconds[user] = random.choice([0, 0, 0.2, 1])
                await client.send(random.choice([Join, Leave])(room="a"), id=id)
                if random.random() < 0.3:
                    await client.send({"type": "cancel", "ref": id})

    async with rig.client("watch") as watch:
        await watch.request(Join(room="a"))
        async with asyncio.TaskGroup() as group:
            for user in ("ann", "ann", "bob", "bob", "carl"):
                group.create_task(wander(user))
        await asyncio.sleep(60)
        assert await rig.members("a") == ["watch"]
        for user in ("ann", "bob", "carl"):
            heard = [frame["type"] for frame in watch.frames if frame.get("user") == user]
            assert heard == ["came", "left"] * (len(heard) // 2)
