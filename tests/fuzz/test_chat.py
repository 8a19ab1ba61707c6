"""The reference chat under the fuzzer, in this process and over a socket; and copies of it that are wrong."""

from datetime import UTC, datetime

import pytest
from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Room, Rooms, User
from protocol.fuzzing import fuzz_test
from protocol.fuzzing.checks import CheckFailed
from tests.fuzz.chat import create_app, login

test_the_chat_keeps_its_promises = fuzz_test(create_app, clients=3, login=login, max_examples=150)

test_the_chat_keeps_its_promises_for_long = pytest.mark.long(
    fuzz_test(create_app, clients=3, login=login, max_examples=20_000)
)


class Join(Message, type="join"):
    room: str


class Joined(Message, type="joined"):
    room: str
    members: list[str]


class Leave(Message, type="leave"):
    room: str


class Say(Message, type="message"):
    room: str
    text: str


class Said(Message, type="message"):
    room: str
    user: str
    text: str
    at: datetime


def wrong_chat(*, says_without_membership: bool = False, leaves_ghosts: bool = False) -> FastAPI:
    chat = MessageProtocol("Chat")
    ghosts: dict[str, dict[str, None]] = {}

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join, emits=Joined)
    async def join(message: Join, connection: Connection) -> Joined:
        await connection.join(message.room)
        there = ghosts.setdefault(message.room, {})
        there[connection.user.id] = None
        return Joined(room=message.room, members=list(there))

    @chat.on(Leave)
    async def leave(message: Leave, connection: Connection) -> None:
        await connection.leave(message.room)

    @chat.on_leave
    async def left(user: User, room: Room) -> None:
        if not leaves_ghosts:
            ghosts.get(room.name, {}).pop(user.id, None)

    async def publish(message: Say, room: Room, user: User) -> None:
        await room.publish(Said(room=message.room, user=user.id, text=message.text, at=datetime.now(UTC)))

    if says_without_membership:

        @chat.on(Say, emits=Said)
        async def say(message: Say, rooms: Rooms, user: User) -> None:
            await publish(message, rooms[message.room], user)

    else:

        @chat.on(Say, emits=Said)
        async def say_as_member(message: Say, room: Room, user: User) -> None:
            await publish(message, room, user)

    app = FastAPI()
    app.include_router(chat.router)
    return app


def test_the_small_chat_is_right_without_its_bugs() -> None:
    fuzz_test(wrong_chat, max_examples=100)()


def test_publishing_without_membership_is_found() -> None:
    test = fuzz_test(lambda: wrong_chat(says_without_membership=True), max_examples=1000)
    with pytest.raises(CheckFailed, match=r"isolation: .* is not in '.*', and what it sent reached"):
        test()


def test_a_member_that_stays_behind_is_found() -> None:
    test = fuzz_test(lambda: wrong_chat(leaves_ghosts=True), max_examples=1000)
    with pytest.raises(CheckFailed, match="clean_room: Everybody had left"):
        test()
