"""Limit how many connections are open at once: in all, and from each address.

The limit per user needs to know the user: see ``examples/stack.py``. A refused client gets 429 with ``Retry-After``. Behind
a proxy, name its address in ``trusted_proxies``; nobody else's ``X-Forwarded-For`` is believed.

Run it with ``protocol run examples.connection_limits:app``.
"""

from fastapi import FastAPI
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol
from protocol.middleware import ConnectionLimitMiddleware


class Tick(Message, type="tick"):
    """Ask for the next number."""


class Tock(Message, type="tock"):
    number: int


clock = MessageProtocol("Clock")
numbers = iter(range(1, 1_000_000_000))


@clock.on(Tick, emits=Tock)
async def tick(message: Tick) -> Tock:
    return Tock(number=next(numbers))


app = FastAPI(
    middleware=[
        Middleware(
            ConnectionLimitMiddleware,
            per_address=2,
            total=1000,
            trusted_proxies=["10.0.0.0/8"],
            retry_after=5,
        )
    ]
)
app.include_router(clock.router)
