"""Write to one person, on whatever devices they are, and see how people are.

Run it with ``protocol run examples.direct_messages:app``.
"""

from typing import Annotated

from fastapi import FastAPI, Header

from protocol import Connection, Message, MessageProtocol, Reject, User, Users


class Write(Message, type="write"):
    to: str
    text: str


class Letter(Message, type="letter"):
    sender: str
    text: str


class SetMood(Message, type="set_mood"):
    mood: str


class Mood(Message, type="mood"):
    user: str
    mood: str


class NotThere(Reject, code="not_there", retryable=True): ...


def who(x_user: Annotated[str, Header()]) -> User:
    """A demo: whoever connects says who it is."""
    return User(x_user)


post = MessageProtocol("Post", user=who)


@post.on(Write, emits=Letter, raises=NotThere)
async def write(message: Write, user: User, users: Users) -> None:
    delivery = await users[message.to].send(Letter(sender=user.id, text=message.text))
    if not delivery.receivers:
        raise NotThere(detail=f"{message.to} is not connected.")


@post.room("everyone")
async def everyone(connection: Connection) -> None: ...


@post.on_connect
async def connected(connection: Connection) -> None:
    await connection.join("everyone")


@post.on(SetMood)
async def set_mood(message: SetMood, connection: Connection) -> None:
    await connection.set_status(message.mood)


@post.on_status
async def mood(user: User, status: str) -> Mood:
    return Mood(user=user.id, mood=status)


app = FastAPI()
app.include_router(post.router)
