"""A lock is acquired by hand and not released where the handler refuses: the next message waits for ever."""

import asyncio
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Message, MessageProtocol, Reject

CHECK = "liveness"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "take", "count": 4}},
    {"do": "send", "client": 0, "message": {"type": "take", "count": 1}},
]


class Take(Message, type="take"):
    count: Annotated[int, Field(ge=1, le=10)]


class Left(Message, type="left"):
    count: int


class NotEnough(Reject, code="not_enough"): ...


def create_app(bug: bool) -> FastAPI:
    store = MessageProtocol("Store")
    stock = {"count": 3}
    lock = asyncio.Lock()

    @store.on(Take, emits=Left, raises=NotEnough)
    async def take(message: Take) -> Left:
        await lock.acquire()
        if message.count > stock["count"]:
            if not bug:
                lock.release()
            raise NotEnough
        stock["count"] -= message.count
        lock.release()
        return Left(count=stock["count"])

    app = FastAPI()
    app.include_router(store.router)
    return app
