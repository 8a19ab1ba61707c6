"""Authenticate by the first message, for clients that can send neither headers nor cookies.

Nothing else is handled before it has come, and it has five seconds. Run it with
``protocol run examples.first_message_auth:app``.
"""

import secrets
from typing import Annotated, Final

from fastapi import Depends, FastAPI

from protocol import Connection, Disconnect, Message, MessageProtocol, codes

TOKENS: Final = {"demo-token-of-ada": "ada", "demo-token-of-bob": "bob"}


class LogIn(Message, type="log_in"):
    token: str


class Welcome(Message, type="welcome"):
    name: str


class Greet(Message, type="greet"):
    """Ask for a greeting."""


class Greeting(Message, type="greeting"):
    text: str


door = MessageProtocol("Door", receives=LogIn, sends=Welcome)


@door.on_connect
async def authenticate(connection: Connection) -> None:
    try:
        shown = await connection.receive(LogIn, timeout=5)
    except TimeoutError:
        raise Disconnect(codes.INVALID_TOKEN, "log in first") from None
    for token, name in TOKENS.items():
        if secrets.compare_digest(token.encode(), shown.token.encode()):
            connection.state.name = name
            await connection.send(Welcome(name=name))
            return
    raise Disconnect(codes.INVALID_TOKEN)


def name_of(connection: Connection) -> str:
    name: str = connection.state.name
    return name


@door.on(Greet, emits=Greeting)
async def greet(message: Greet, name: Annotated[str, Depends(name_of)]) -> Greeting:
    return Greeting(text=f"Hello, {name}!")


app = FastAPI()
app.include_router(door.router)
