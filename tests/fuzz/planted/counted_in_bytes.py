"""The schema allows twenty characters, and the handler twenty bytes."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Message, MessageProtocol, Reject

CHECK = "positive_data_acceptance"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "rename", "name": "ééééééééééé"}},
]


class Rename(Message, type="rename"):
    name: Annotated[str, Field(min_length=1, max_length=20)]


def create_app(bug: bool) -> FastAPI:
    people = MessageProtocol("People")

    @people.on(Rename)
    async def rename(message: Rename) -> None:
        if bug and len(message.name.encode()) > 20:
            raise Reject("invalid_message", "The name is too long.")

    app = FastAPI()
    app.include_router(people.router)
    return app
