"""Log who connects, how it ends, and how many messages of each type pass; never what is in them.

Run it with ``protocol run examples.access_log:app``.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol
from protocol.middleware import LoggingMiddleware

FIELDS: Final = (
    "event",
    "connection",
    "client",
    "path",
    "user",
    "status",
    "code",
    "seconds",
    "received",
    "errors",
)


class JSONLines(logging.Formatter):
    """One JSON object for each line, from the fields that every record has as attributes."""

    def format(self, record: logging.LogRecord) -> str:
        found = {name: value for name, value in vars(record).items() if name in FIELDS and value}
        return json.dumps({"time": record.created, "level": record.levelname, **found})


handler = logging.StreamHandler()
handler.setFormatter(JSONLines())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The lines come here while the application runs, and nowhere else: `protocol run` would write them in its way."""
    access = logging.getLogger("protocol.access")
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    access.propagate = False
    yield
    access.removeHandler(handler)
    access.propagate = True


class Greet(Message, type="greet"):
    name: str


class Greeting(Message, type="greeting"):
    text: str


hello = MessageProtocol("Hello")


@hello.on(Greet, emits=Greeting)
async def greet(message: Greet) -> Greeting:
    return Greeting(text=f"Hello, {message.name}!")


app = FastAPI(lifespan=lifespan, middleware=[Middleware(LoggingMiddleware)])
app.include_router(hello.router)
