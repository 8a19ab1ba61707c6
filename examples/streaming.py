"""Stream an answer piece by piece, as a language model does, until it is complete or the client cancels it.

A handler that yields runs beside the messages that follow. ``{"type": "cancel", "ref": …}`` ends it, and so does a
disconnect. Run it with ``protocol run examples.streaming:app``.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from fastapi import FastAPI

from protocol import Message, MessageProtocol


class Ask(Message, type="ask"):
    prompt: str


class Token(Message, type="token"):
    text: str


class Finished(Message, type="finished"):
    tokens: int


assistant = MessageProtocol("Assistant", max_pending=4)


async def model(prompt: str) -> AsyncIterator[str]:
    """Stands for a language model: it thinks a little before each word."""
    for word in f"You asked: {prompt} That is a good question.".split():
        await asyncio.sleep(0.05)
        yield word


@assistant.on(Ask, emits=[Token, Finished])
async def ask(message: Ask) -> AsyncIterator[Token | Finished]:
    count = 0
    try:
        async for word in model(message.prompt):
            count += 1
            yield Token(text=word)
    finally:
        # Here also after a cancel: what the model has cost is known, and its connection can be closed.
        usage["words"] += count
    yield Finished(tokens=count)


usage = Counter[str]()
app = FastAPI()
app.include_router(assistant.router)
