"""An application whose handlers take their time, for the tests of what is under way."""

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import FastAPI

from protocol import Message, MessageProtocol
from tests.served import served


class Work(Message, type="work"):
    name: str = ""
    seconds: float = 0


class Done(Message, type="done"):
    name: str


class Count(Message, type="count"):
    to: int


class Number(Message, type="number"):
    value: int


class Hello(Message, type="hello"):
    name: str


class Enter(Message, type="enter"):
    pass


def working(*, concurrent: bool = False, **options: Any) -> tuple[FastAPI, list[str]]:
    """An application whose handler works for some seconds, and what it has done."""
    chat = MessageProtocol("Work", **options)
    done: list[str] = []

    @chat.on(Work, emits=Done, concurrent=concurrent)
    async def work(message: Work) -> Done:
        try:
            if message.seconds:
                await asyncio.sleep(message.seconds)
        except asyncio.CancelledError:
            done.append(f"{message.name} cancelled")
            raise
        done.append(message.name)
        return Done(name=message.name)

    return served(chat), done


async def swallowed_cancellation() -> None:
    """Wait for a cancellation, and go on after it."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)


def cancelled(ref: int | str) -> dict[str, Any]:
    return {
        "type": "error", "code": "cancelled", "detail": "The message was cancelled.", "ref": ref, "retryable": False,
    }  # fmt: skip
