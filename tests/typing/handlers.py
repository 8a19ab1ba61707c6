"""What users write, as mypy --strict and pyright see it. Never run: an error of either checker is the failure.

Each ``type: ignore`` stands where a mistake has to be refused; one that is not needed is an error itself.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Literal, assert_type

from pydantic import BaseModel

from protocol import (
    Connection,
    Delivery,
    Disconnect,
    Membership,
    Message,
    MessageProtocol,
    MessageRouter,
    Reject,
    Room,
    Rooms,
    User,
)


class Join(Message, type="join"):
    room: str


class Leave(Message, type="leave"):
    room: str


class Say(Message):
    type: Literal["say"] = "say"
    text: str


class Plain(BaseModel):
    type: Literal["plain"] = "plain"


class Wave(Message, type="wave"):
    pass


class TooLate(Reject, code="too_late"):
    pass


chat = MessageProtocol("Chat")
router = MessageRouter()


# Handlers keep their type.


@chat.on(Join)
async def join(message: Join, connection: Connection) -> None:
    assert_type(await connection.join(message.room), Membership)


async def use_join(connection: Connection) -> None:
    await join(Join(room="a"), connection)
    await join(Leave(room="a"), connection)  # type: ignore[arg-type]
    await join(Join(room="a"))  # type: ignore[call-arg]


@router.on(Say, emits=Say, raises=TooLate)
async def say(message: Say, room: Room) -> Say:
    assert_type(message.type, Literal["say"])
    assert_type(message.replace(text="x"), Say)
    assert_type(await room.publish(message), Delivery)
    return message


@router.on(Plain, emits=(Say, Join))
def plain(message: Plain) -> Say | None:
    return None


@router.on(Join, Leave)
async def two(message: Join | Leave) -> None: ...


@router.on(Join, Leave, Say)
async def three(message: Join | Leave | Say, user: User, rooms: Rooms) -> None: ...


@router.on(Join, Leave, Say, Plain)
async def four(message: Join | Leave | Say | Plain) -> None: ...


@router.on(Join, Leave, Say, Plain, Wave)
async def five(message: Join | Leave | Say | Plain | Wave) -> None: ...


@router.on(Join, Leave)
async def wide(message: Message) -> None: ...


@router.on(Say)
async def stream(message: Say) -> AsyncIterator[Say]:
    yield message


@router.on(Say)
def generator(message: Say) -> Iterator[Say]:
    yield message


assert_type(plain(Plain()), Say | None)


class Desk:
    async def __call__(self, message: Say) -> None: ...


router.on(Say)(Desk())


# Handlers that do not accept their message are refused.


@router.on(Join)  # type: ignore[arg-type]
async def other(message: Leave) -> None: ...


@router.on(Join, Leave)  # type: ignore[arg-type]
async def narrow(message: Join) -> None: ...


@router.on(Join, Leave, Say, Plain, Wave)  # type: ignore[arg-type]
async def missing(message: Join | Leave | Say | Plain) -> None: ...


@router.on(Join)  # type: ignore[arg-type]
async def nothing() -> None: ...


@router.on(Join)  # type: ignore[type-var]
async def text(message: Join) -> str:
    return ""


router.on(int)  # type: ignore[type-var]
router.on(Join, emits=int)  # type: ignore[arg-type]
router.on(Join, raises=KeyError)  # type: ignore[arg-type]
router.on(Join, limit=3)  # type: ignore[call-overload]


# Transforms, rooms and hooks.


@router.transform
def trim(message: Say) -> Say:
    return message.replace(text=message.text.strip())


@router.transform(outbound=True, per_recipient=True)
def personal(message: Say, connection: Connection) -> Say | None:
    return None if connection.user.id == "bob" else message


assert_type(trim(Say(text="a")), Say)


def use_personal(connection: Connection) -> None:
    assert_type(personal(Say(text="a"), connection), Say | None)


@router.room("team-{team}")
async def team(connection: Connection, team: int) -> None: ...


@router.room("{name}")  # type: ignore[arg-type]
async def no_connection(name: str) -> None: ...


@router.on_join
async def joined(user: User, room: Room) -> Say:
    return Say(text=f"{user.id} in {room.name}")


@router.on_connect
async def connected(connection: Connection) -> None:
    assert_type(await connection.receive(Join), Join)
    assert_type(await connection.receive(Join, Leave, timeout=5), Join | Leave)
    assert_type(await connection.receive(Join, Leave, Plain), Join | Leave | Plain)
    assert_type(await connection.receive(timeout=None), BaseModel)
    await connection.receive(int)  # type: ignore[type-var]
    raise Disconnect(4000)


@router.exception_handler(KeyError)
async def failed(connection: Connection, error: KeyError) -> None: ...


@router.exception_handler(KeyError)  # type: ignore[arg-type]
async def wrong_error(connection: Connection, error: OSError) -> None: ...


async def handles() -> None:
    assert_type(chat.rooms["a"], Room)
    assert_type(await chat.users["bob"].send(Say(text="a")), Delivery)
    await chat.rooms["a"].publish("text")  # type: ignore[arg-type]


def reply(message: Say) -> Awaitable[Say]:
    raise NotImplementedError


router.on(Say)(reply)
