"""The program of the README, whole."""

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Room
from protocol.testing import Client


class Join(Message, type="join"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


def create_app() -> FastAPI:
    chat = MessageProtocol("Chat", path="/ws")

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Say)
    async def say(message: Say, room: Room) -> None:
        await room.publish(message)

    app = FastAPI()
    app.include_router(chat.router)
    return app


async def test_what_one_says_reaches_everybody_in_the_room() -> None:
    app = create_app()
    async with Client(app) as alice, Client(app) as bob:
        assert await alice.request(Join(room="lobby")) == {"type": "ack", "ref": 1}
        assert await bob.request(Join(room="lobby")) == {"type": "ack", "ref": 1}
        await alice.send(Say(room="lobby", text="hi"))
        assert await alice.expect(Say) == Say(room="lobby", text="hi")
        assert await bob.expect(Say) == Say(room="lobby", text="hi")
        await alice.expect_nothing()


async def test_who_is_not_in_the_room_is_told_so() -> None:
    async with Client(create_app()) as alice:
        answer = await alice.request(Say(room="lobby", text="hi"))
        assert answer["code"] == "not_a_member"
