"""The first word of a text is looked for in a text that is nothing but white space."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Message, MessageProtocol

CHECK = "server_error"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "command", "line": " "}},
]


class Command(Message, type="command"):
    line: Annotated[str, Field(min_length=1, max_length=100)]


class Parsed(Message, type="parsed"):
    verb: str


def create_app(bug: bool) -> FastAPI:
    shell = MessageProtocol("Shell")

    @shell.on(Command, emits=Parsed)
    async def command(message: Command) -> Parsed:
        words = message.line.split()
        return Parsed(verb=words[0] if words or bug else "")

    app = FastAPI()
    app.include_router(shell.router)
    return app
