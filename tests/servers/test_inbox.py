import asyncio
from typing import Any

import pytest

from protocol.servers.inbox import Inbox


def message(text: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": text}


def disconnect(code: int) -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": ""}


async def test_events_come_in_order_and_then_the_disconnect_for_ever() -> None:
    inbox = Inbox(max_messages=10, max_size=100)
    inbox.put_nowait({"type": "websocket.connect"})
    inbox.put_texts(["a", "b"])
    inbox.put_nowait(disconnect(1000))
    inbox.put_nowait(disconnect(1006))
    inbox.put_texts(["late"])
    inbox.put_nowait(message("late"))
    assert [await inbox.get() for _ in range(5)] == [
        {"type": "websocket.connect"}, message("a"), message("b"), disconnect(1000), disconnect(1000),
    ]  # fmt: skip


async def test_it_is_full_at_either_bound_until_something_is_taken() -> None:
    inbox = Inbox(max_messages=2, max_size=5)
    inbox.put_texts(["", ""])
    assert (inbox.full, inbox.room, inbox.empty) == (True, 0, False)
    await inbox.get()
    assert (inbox.full, inbox.room) == (False, 1)
    inbox.put_nowait({"type": "websocket.receive", "bytes": b"12345"})
    await inbox.get()
    assert (inbox.full, inbox.room) == (True, 0)
    await inbox.get()
    assert (inbox.full, inbox.room, inbox.empty) == (False, 2, True)


async def test_one_batch_wakes_a_waiting_reader_once() -> None:
    inbox = Inbox(max_messages=10, max_size=100)
    turns: list[str] = []

    async def read() -> None:
        for _ in range(3):
            turns.append((await inbox.get())["text"])

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    inbox.put_texts(["a", "b", "c"])
    assert turns == []
    await asyncio.sleep(0)
    assert turns == ["a", "b", "c"]
    await reader


async def test_a_cancelled_reader_takes_nothing_with_it() -> None:
    inbox = Inbox(max_messages=10, max_size=100)
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_texts(["a"])
    reader.cancel()
    assert await inbox.get() == message("a")
    with pytest.raises(asyncio.CancelledError):
        await reader
