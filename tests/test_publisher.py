"""What goes with a publication."""

from protocol import Connection, Message, MessageProtocol, Room
from protocol.testing import Client, settle
from tests.served import served

KEY = "0123456789abcdef"


class Join(Message, type="join"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


class Text(Message, type="text"):
    text: str


async def test_a_key_is_not_left_for_the_second_publication_where_the_first_has_its_own() -> None:
    chat = MessageProtocol("Publisher")

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Text)
    async def say(message: Say, room: Room) -> None:
        await room.publish(Text(text="first"), key="the handler's own")
        await room.publish(Text(text="second"))

    app = served(chat)
    async with Client(app, user="ann") as ann:
        await ann.request(Join(room="a"))
        await ann.request(Say(room="a", text=""), key=KEY)
        await settle()
        assert [frame["text"] for frame in ann.frames] == ["first", "second"]
        assert await chat.at(app).publisher.repeated("a", ("ann", KEY)) is None
        assert await chat.at(app).publisher.repeated("a", ("ann", "the handler's own")) is not None
