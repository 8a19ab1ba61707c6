"""Servers that serve nobody before a first message has come: one of this framework, and a plain one."""

import secrets
from typing import Annotated

from fastapi import FastAPI, WebSocket
from pydantic import Field

from protocol import Connection, Message, MessageProtocol
from tests.fuzz.plain import COUNT, TEXT, Body, Peer, document

Text = Annotated[str, Field(min_length=1, max_length=20)]


class Hello(Message, type="hello"):
    name: Text


class Say(Message, type="say"):
    text: Text


class Said(Message, type="said"):
    by: str
    first: str


def create_greeter(bug: bool = False, patience: float | None = None) -> FastAPI:
    """Who says hello is known by name. The bug: a text of blanks has no first word."""
    greeter = MessageProtocol("Greeter", receives=Hello)

    @greeter.on_connect
    async def connected(connection: Connection) -> None:
        connection.state.name = (await connection.receive(Hello, timeout=patience)).name

    @greeter.on(Say, emits=Said)
    async def say(message: Say, connection: Connection) -> Said:
        words = message.text.split() if bug else message.text.split(" ")
        return Said(by=connection.state.name, first=words[0])

    app = FastAPI()
    app.include_router(greeter.router)
    return app


def create_wrong_greeter() -> FastAPI:
    return create_greeter(bug=True)


def hello(client: int) -> Body:
    """What a client says first, with an id, and otherwise each time."""
    return {"type": "hello", "name": f"{client} {secrets.token_hex(4)}", "id": "first"}


TOKEN = "letmein"
AUTH = {"type": "auth", "token": TOKEN}
DOCUMENT = document(
    {"auth": ({"token": TEXT}, ("welcome",)), "add": ({"count": COUNT}, ("sum",))},
    {"welcome": {}, "sum": {"count": {"type": "integer", "minimum": 0}}},
    errors=["already"],
    closes=["4401"],
)


def create_adder(bug: bool = False) -> FastAPI:
    """Who does not authenticate first is closed with 4401. The bug: the sum of nothing is told twice."""
    app = FastAPI()

    @app.websocket("/ws")
    async def add(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            first = peer.read((await socket.receive()).get("text"))
            if first is None or first.get("token") != TOKEN:
                await peer.close(4401)
                return
            peer.answer(first, "welcome")
            total = 0
            while (message := await peer.receive()) is not None:
                if message["type"] == "auth":
                    peer.answer(message, "error", code="already")
                    continue
                total += message["count"]
                for _ in range(2 if bug and not total else 1):
                    peer.answer(message, "sum", count=total)

    return app


def create_wrong_adder() -> FastAPI:
    return create_adder(bug=True)
