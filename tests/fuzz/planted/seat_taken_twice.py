"""Whether a seat is free is looked up before a payment is awaited, and not again after it."""

import asyncio
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Message, MessageProtocol, Reject

CHECK = "serialisability"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "connect", "client": 1},
    {
        "do": "burst",
        "sends": [
            {"client": 0, "message": {"type": "reserve", "seat": 0, "id": 1}},
            {"client": 1, "message": {"type": "reserve", "seat": 0, "id": 2}},
        ],
    },
]


class Reserve(Message, type="reserve"):
    seat: Annotated[int, Field(ge=0, le=3)]


class Reserved(Message, type="reserved"):
    seat: int


class SeatTaken(Reject, code="seat_taken"): ...


def create_app(bug: bool) -> FastAPI:
    theatre = MessageProtocol("Theatre")
    taken: set[int] = set()

    @theatre.on(Reserve, emits=Reserved, raises=SeatTaken)
    async def reserve(message: Reserve) -> Reserved:
        if message.seat in taken:
            raise SeatTaken
        if not bug:
            taken.add(message.seat)
        await pay()
        taken.add(message.seat)
        return Reserved(seat=message.seat)

    app = FastAPI()
    app.include_router(theatre.router)
    return app


async def pay() -> None:
    """Somebody else's server takes a while."""
    await asyncio.sleep(0.01)
