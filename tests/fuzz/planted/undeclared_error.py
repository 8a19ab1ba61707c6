"""A handler refuses with a code that it does not name in ``raises=``, so that the document does not have it."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Message, MessageProtocol, Reject

CHECK = "message_conformance"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "order", "pieces": 13}},
]


class Order(Message, type="order"):
    pieces: Annotated[int, Field(ge=1, le=1000)]


class Ordered(Message, type="ordered"):
    pieces: int


class SoldOut(Reject, code="sold_out"): ...


def create_app(bug: bool) -> FastAPI:
    shop = MessageProtocol("Shop")

    @shop.on(Order, emits=Ordered, raises=() if bug else SoldOut)
    async def order(message: Order) -> Ordered:
        if message.pieces > 12:
            raise SoldOut
        return Ordered(pieces=message.pieces)

    app = FastAPI()
    app.include_router(shop.router)
    return app
