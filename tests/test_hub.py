"""Rooms, users and presence of one node: what is true after every join, leave and disconnect."""

import asyncio
import enum
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from protocol import (
    Connection,
    History,
    Message,
    MessageProtocol,
    Outbox,
    Position,
    Reject,
    Room,
    Rooms,
    User,
    Users,
)
from protocol.exceptions import LocalProtocolError, Unavailable
from protocol.node import Node
from protocol.testing import Client, settle


class Join(Message, type="join"):
    room: str
    since: Position | None = None
    wait: float = 0


class Leave(Message, type="leave"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


class Status(Message, type="status"):
    status: str


class Joined(Message, type="joined"):
    room: str
    members: list[str]
    count: int
    offset: int
    recovered: bool


class Said(Message, type="said"):
    text: str
    offset: int | None = None


class Text(Message, type="text"):
    text: str


class Came(Message, type="came"):
    user: str


class Left(Message, type="left"):
    user: str


class Has(Message, type="has"):
    user: str
    status: str


KEY = "0123456789abcdef"


class Rig:
    """An application with rooms of three kinds, and a look at what its node holds."""

    def __init__(self, **options: Any) -> None:
        self.chat = chat = MessageProtocol("Hub", sends=(Text, Joined), **options)
        self.authorised: list[str] = []
        self.app = FastAPI()

        @chat.room("kept-{name}", history=History(size=1000, recover=1000))
        async def kept(connection: Connection, name: str) -> None: ...

        @chat.room("quiet-{name}", presence=False)
        async def quiet(connection: Connection, name: str) -> None: ...

        @chat.room("r{number}")
        async def room(connection: Connection, number: int) -> None:
            self.authorised.append(f"{connection.user.id} r{number}")
            if number == 403:
                raise Reject("forbidden")

        @chat.on_join
        async def came(user: User, room: Room) -> Came:
            return Came(user=user.id)

        @chat.on_leave
        async def left(user: User, room: Room) -> Left:
            return Left(user=user.id)

        @chat.on_status
        async def has(user: User, status: str) -> Has:
            return Has(user=user.id, status=status)

        @chat.on(Join, emits=Joined)
        async def join(message: Join, connection: Connection) -> Joined:
            membership = await connection.join(message.room, message.since)
            await asyncio.sleep(message.wait)
            return Joined(
                room=message.room,
                members=[member.user for member in membership.members.users],
                count=membership.members.count,
                offset=membership.position.offset,
                recovered=membership.recovered,
            )

        @chat.on(Leave)
        async def leave(message: Leave, connection: Connection) -> None:
            await connection.leave(message.room)

        @chat.on(Say, emits=Text)
        async def say(message: Say, room: Room) -> None:
            await room.publish(Text(text=message.text))

        @chat.on(Status)
        async def status(message: Status, connection: Connection) -> None:
            await connection.set_status(message.status)

        self.app.include_router(chat.router)

    def client(self, user: str) -> Client:
        return Client(self.app, user=user)

    @property
    def node(self) -> Node:
        return self.chat.at(self.app)

    def connection(self, user: str) -> Connection:
        (connection,) = self.node.hub.fanout.users[user]
        return connection

    def assert_empty(self) -> None:
        assert len(self.node.hub.fanout) == 0
        assert len(self.node.presence) == 0  # type: ignore[arg-type]
        assert self.node._budget.used == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


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

    app = FastAPI()
    app.include_router(chat.router)
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

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app) as client:
        await client.send(Join(room="a"))
        await settle()
        for size in (400, 1800, 400):
            await chat.rooms["a"].publish(Line(text="x" * size))
        for size in (400, 1800, 400):
            assert len((await client.expect(Line, within=2)).text) == size


async def test_recovery_and_history_pass_the_transforms_of_their_recipient() -> None:
    chat = MessageProtocol("Hub", sends=Text)

    @chat.room("{name}", history=History())
    async def kept(connection: Connection, name: str) -> None: ...

    @chat.transform(outbound=True, per_recipient=True)
    def addressed(message: Text, connection: Connection) -> Text:
        return Text(text=f"{message.text} for {connection.user.id}")

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room, message.since)

    app = FastAPI()
    app.include_router(chat.router)
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


async def test_a_history_is_read_from_a_position_on_or_from_its_end() -> None:
    rig = Rig()
    async with rig.client("ann"):
        room = rig.chat.rooms["kept-1"]
        deliveries = [await room.publish(Text(text=text)) for text in "abcd"]
        first, *_, last = [delivery.position for delivery in deliveries]
        assert first is not None
        assert await room.history() == tuple(Text(text=text) for text in "abcd")
        assert await room.history(limit=2) == (Text(text="c"), Text(text="d"))
        assert await room.history(after=first, limit=2) == (Text(text="b"), Text(text="c"))
        assert await room.history(after=last) == ()
        assert await room.history(after=Position(first.offset, "another")) == ()
        assert await rig.chat.rooms["r1"].history() == ()
        assert await room.history(limit=0) == ()
        with pytest.raises(ValueError, match="at least 0, not -1"):
            await room.history(after=first, limit=-1)


async def test_what_could_leave_a_hole_is_not_published_to_a_room_with_history() -> None:
    class Tick(Message, type="tick", slow="latest"):
        price: int

    class Placed(Message, type="placed"):
        offset: int

    chat = MessageProtocol("Hub", sends=(Tick, Placed))

    @chat.room("kept-{name}", history=History())
    async def kept(connection: Connection, name: str) -> None: ...

    @chat.room("live-{name}")
    async def live(connection: Connection, name: str) -> None: ...

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app):
        for message in (Tick(price=1), Placed(offset=1)):
            await chat.rooms["live-a"].publish(message)
            with pytest.raises(LocalProtocolError) as caught:
                await chat.rooms["kept-a"].publish(message)
            assert str(caught.value).endswith(
                "may be dropped for a slow consumer; a room with history never has a silent hole. Publish it to a "
                "room without history, or declare it without slow=…."
                if isinstance(message, Tick)
                else "has a field 'offset' of its own, so a room with history cannot say its position. Rename the "
                "field, or the envelope's: Envelope(offset=…)."
            )
        assert await chat.rooms["kept-a"].history() == ()


async def test_a_key_goes_with_the_first_publication_to_a_room_only() -> None:
    chat = MessageProtocol("Hub")

    @chat.room("{name}", history=History())
    async def kept(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Text)
    async def say(message: Say, room: Room) -> None:
        for text in ("first", "second"):
            await room.publish(Text(text=text))

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app, user="ann") as ann:
        await ann.request(Join(room="a"))
        answer = await ann.request(Say(room="a", text=""), key=KEY)
        assert answer["offset"] == 2
        await settle()
        assert [frame["text"] for frame in ann.frames if frame["type"] == "text"] == ["first", "second"]


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


# All or nothing.


class Failing:
    """Fails a method of an object once, or holds it up."""

    def __init__(self, target: Any, name: str, effect: Callable[[], Any]) -> None:
        self.target, self.name, self.effect = target, name, effect
        self.method = getattr(target, name)

    def __enter__(self) -> None:
        async def instead(*args: Any, **kwargs: Any) -> Any:
            await self.effect()
            return await self.method(*args, **kwargs)

        setattr(self.target, self.name, instead)

    def __exit__(self, *error: object) -> None:
        setattr(self.target, self.name, self.method)


async def unavailable() -> None:
    raise Unavailable("It does not answer.")


async def endless() -> None:
    await asyncio.sleep(3600)


PARTS = [("broker", "subscribe"), ("broker", "history"), ("presence", "join"), ("presence", "members")]


@pytest.mark.parametrize("part, method", PARTS)
@pytest.mark.parametrize("effect", [unavailable, endless])
async def test_a_join_is_all_or_nothing(part: str, method: str, effect: Callable[[], Any]) -> None:
    rig = Rig()
    async with rig.client("watch") as watch, rig.client("ann") as ann:
        await watch.request(Join(room="r2"))
        with Failing(getattr(rig.node, part), method, effect):
            await ann.send(Join(room="r1"), id="join")
            await settle()
            await ann.send({"type": "cancel", "ref": "join"})
            code = "unavailable" if effect is unavailable else "cancelled"
            assert (await ann.expect("error"))["code"] == code
        assert {*rig.node.hub.fanout.rooms} == {"r2"}
        assert (await rig.node.presence.members("r1")).count == 0
        assert rig.node.broker._channels == {"user:watch", "user:ann", "room:r2"}  # type: ignore[attr-defined]
        assert (await ann.request(Say(room="r1", text="x")))["code"] == "not_a_member"
        assert (await ann.request(Join(room="r1"), Joined)).members == ["ann"]
    rig.assert_empty()


async def test_nobody_enters_while_a_join_is_taken_back_however_often_that_is_cancelled() -> None:
    rig = Rig()
    async with rig.client("ann"), rig.client("bob") as bob:
        with Failing(rig.node.broker, "history", endless):
            joining = asyncio.create_task(rig.node.hub.join(rig.connection("ann"), "r1", None))
            await settle()
        with Failing(rig.node.broker, "unsubscribe", lambda: asyncio.sleep(1)):
            for _ in range(3):
                joining.cancel()
                await settle()
            assert not joining.done()
            await bob.send(Join(room="r1"))
            assert (await bob.expect(Joined, within=2)).members == ["bob"]
        assert joining.cancelled()
        await rig.chat.rooms["r1"].publish(Text(text="to bob"))
        await bob.expect(Text, text="to bob")
        assert "room:r1" in rig.node.broker._channels  # type: ignore[attr-defined]
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


@pytest.mark.parametrize("method", ["leave", "members"])
async def test_a_leave_is_finished_even_if_it_is_cancelled(method: str) -> None:
    rig = Rig()

    async def slow() -> None:
        await asyncio.sleep(1)

    async with rig.client("watch") as watch, rig.client("ann") as ann:
        for client in (watch, ann):
            await client.request(Join(room="r1"))
        with Failing(rig.node.presence, method, slow):
            await ann.send(Leave(room="r1"), id="leave")
            await settle()
            await ann.send({"type": "cancel", "ref": "leave"})
            assert (await ann.expect("error"))["code"] == "cancelled"
            assert (await watch.expect(Left, within=3)).user == "ann"
        assert (await rig.node.presence.members("r1")).count == 1


async def test_rooms_joined_at_once_do_not_exceed_the_bound() -> None:
    chat = MessageProtocol("Hub", max_rooms=2)

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None:
        await asyncio.sleep(1)

    @chat.on(Join, concurrent=True)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app) as client:
        for index in range(5):
            await client.send(Join(room=str(index)), id=index)
        await client.expect("error", within=2)
        await settle()
        assert [frame["type"] for frame in client.frames].count("ack") == 2


# Publications.


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

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app) as one, Client(app) as two, Client(app) as three:
        for client in (one, two, three):
            await client.request(Join(room="a"))
        delivery = await chat.rooms["a"].publish(Text(text="x"))
        assert delivery.receivers == 1
        await one.expect(Text)
        assert await two.expect_close() == (4001, "out")
        assert await three.expect_close() == (4001, "out")


async def test_a_transform_that_fails_for_one_disturbs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    chat = MessageProtocol("Hub", sends=Text)

    @chat.transform(outbound=True, per_recipient=True)
    def fail(message: Text, connection: Connection) -> Text:
        if connection.user.id == "ann":
            raise LookupError("ann")
        return message

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app, user="ann") as ann, Client(app, user="bob") as bob:
        for client in (ann, bob):
            await client.request(Join(room="a"))
        await chat.rooms["a"].publish(Text(text="x"))
        await bob.expect(Text)
        await ann.expect_nothing()
    assert "A message for one receiver failed" in caplog.text


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

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    app = FastAPI()
    app.include_router(chat.router)
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

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    app = FastAPI()
    app.include_router(chat.router)
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


async def test_a_hook_takes_neither_the_key_nor_the_offset_of_the_message() -> None:
    chat = MessageProtocol("Hub", sends=Text)

    @chat.room("{name}", history=History())
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room) -> None:
        await room.publish(Text(text="hook"))

    @chat.on(Join)
    async def join(message: Join, connection: Connection, rooms: Rooms) -> None:
        await connection.join(message.room)
        await rooms[message.room].publish(Text(text="handler"))

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app, user="ann") as ann:
        assert (await ann.request(Join(room="a"), key=KEY))["offset"] == 2
        assert (await ann.request(Join(room="a"), key=KEY))["offset"] == 2


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

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app) as client:
        await client.request(Join(room="a"), key=KEY)
        await client.expect(Text, text="later", within=2)


# Users.


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

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app, user="ann") as one, Client(app, user="ann") as two, Client(app, user="bob") as bob:
        await one.send(Leave(room=""), id=1)
        assert await one.expect_close() == (4001, "out")
        assert await two.expect_close() == (4001, "out")
        await bob.expect_nothing()
        assert bob.closed is None


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

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app) as client:
        await client.request(Enter(room=Name.LOBBY))
        assert await client.expect("text") == {"type": "text", "text": "by value", "offset": 1}
        assert await client.expect("text") == {"type": "text", "text": "by member", "offset": 2}
