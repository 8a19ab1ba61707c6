"""A balance is read, something is awaited, and the balance is written: what came between is lost."""

import asyncio
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Message, MessageProtocol

CHECK = "serialisability"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "connect", "client": 1},
    {
        "do": "burst",
        "sends": [
            {"client": 0, "message": {"type": "pay_in", "amount": 1, "id": 1}},
            {"client": 1, "message": {"type": "pay_in", "amount": 1, "id": 2}},
        ],
    },
]


class PayIn(Message, type="pay_in"):
    amount: Annotated[int, Field(ge=1, le=1000)]


class Balance(Message, type="balance"):
    amount: int


def create_app(bug: bool) -> FastAPI:
    bank = MessageProtocol("Bank")
    account = {"balance": 0}
    lock = asyncio.Lock()

    async def add(amount: int) -> int:
        balance = account["balance"]
        await asyncio.sleep(0.01)  # as long as a database takes
        account["balance"] = balance + amount
        return account["balance"]

    @bank.on(PayIn, emits=Balance)
    async def pay_in(message: PayIn) -> Balance:
        if bug:
            return Balance(amount=await add(message.amount))
        async with lock:
            return Balance(amount=await add(message.amount))

    app = FastAPI()
    app.include_router(bank.router)
    return app
