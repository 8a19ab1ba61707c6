"""What goes with a publication, and what is kept of it."""

import pytest

from protocol import Connection, History, Message, MessageProtocol, Position, Room, Rooms, User
from protocol.exceptions import LocalProtocolError
from protocol.testing import Client, settle
from tests.members import KEY, Join, Rig, Say, Text, joinable
from tests.served import served


async def test_a_key_goes_with_the_first_publication_to_a_room_only() -> None:
    chat = MessageProtocol("Hub")

    @chat.room("{name}", history=History())
    async def kept(connection: Connection, name: str) -> None: ...

    @chat.on(Say, emits=Text)
    async def say(message: Say, room: Room) -> None:
        for text in ("first", "second"):
            await room.publish(Text(text=text))

    app = joinable(chat)
    async with Client(app, user="ann") as ann:
        await ann.request(Join(room="a"))
        answer = await ann.request(Say(room="a", text=""), key=KEY)
        assert answer["offset"] == 2
        await settle()
        assert [frame["text"] for frame in ann.frames if frame["type"] == "text"] == ["first", "second"]


async def test_a_key_is_not_left_for_the_second_publication_where_the_first_has_its_own() -> None:
    chat = MessageProtocol("Publisher")

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Say, emits=Text)
    async def say(message: Say, room: Room) -> None:
        await room.publish(Text(text="first"), key="the handler's own")
        await room.publish(Text(text="second"))

    app = joinable(chat)
    async with Client(app, user="ann") as ann:
        await ann.request(Join(room="a"))
        await ann.request(Say(room="a", text=""), key=KEY)
        await settle()
        assert [frame["text"] for frame in ann.frames] == ["first", "second"]
        assert await chat.at(app).publisher.repeated("a", ("ann", KEY)) is None
        assert await chat.at(app).publisher.repeated("a", ("ann", "the handler's own")) is not None


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

    app = served(chat)
    async with Client(app, user="ann") as ann:
        assert (await ann.request(Join(room="a"), key=KEY))["offset"] == 2
        assert (await ann.request(Join(room="a"), key=KEY))["offset"] == 2


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

    app = served(chat)
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
