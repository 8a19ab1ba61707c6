"""The bounded queue between a server's parser and the ASGI ``receive`` of one connection.

It counts and tells; pausing the transport is the business of the class that owns it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

__all__ = ["Inbox"]

Event = dict[str, Any]


class Inbox:
    """What arrived and was not received yet, in order; the disconnect, once known, last and for ever.

    ``max_size`` is in characters of text and bytes of binary messages. Both bounds can be overrun by what one
    read from the network brings.
    """

    def __init__(self, *, max_messages: int, max_size: int) -> None:
        self._events: deque[Event] = deque()
        self._disconnect: Event | None = None
        self._size = 0
        self._max_messages = max_messages
        self._max_size = max_size
        self._ready = asyncio.Event()

    @property
    def room(self) -> int:
        """How many messages may still come."""
        return self._max_messages - len(self._events) if self._size < self._max_size else 0

    @property
    def full(self) -> bool:
        """Whether reading has to stop."""
        return self.room <= 0

    @property
    def empty(self) -> bool:
        """Whether ``get`` would wait, or answer the disconnect."""
        return not self._events

    def put_nowait(self, event: Event) -> None:
        """Queue an ASGI event. The first disconnect is the one that counts; nothing comes after it."""
        if self._disconnect is not None:
            return
        if event["type"] == "websocket.disconnect":
            self._disconnect = event
        else:
            self._events.append(event)
            self._size += _size(event)
        self._ready.set()

    def put_texts(self, texts: Sequence[str]) -> None:
        """Queue text messages, with one wake-up for all of them."""
        if self._disconnect is None:
            self._events.extend([{"type": "websocket.receive", "text": text} for text in texts])
            self._size += sum(map(len, texts))
            self._ready.set()

    async def get(self) -> Event:
        """The next event; returns without suspending as long as there is one."""
        while not self._events:
            if self._disconnect is not None:
                return self._disconnect
            self._ready.clear()
            await self._ready.wait()
        event = self._events.popleft()
        self._size -= _size(event)
        return event


def _size(event: Event) -> int:
    return len(event.get("text") or event.get("bytes") or "")
