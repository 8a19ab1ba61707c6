"""What waits to be written to one connection: frames, their bounds, and what a slow consumer loses.

Sans-IO: ``put`` gives a verdict and the shell in :mod:`protocol.connection` acts on it. There is one queue for
each connection and it is the only way to the socket, so nothing is reordered and nothing follows a close.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocol.exceptions import check_count, check_positive
from protocol.messages import CLOSE, Slow

OVERFLOW: Final = -1
"""The verdict on a frame that was not taken and must not be lost: close the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The bounds of a connection's outbox.

    ``bytes``: what may wait, transport buffer included, which takes about the first 64 KiB and drops nothing.
    ``seconds``: how long a peer may read nothing while something waits. ``budget``: bytes that may wait on one
    node, transport buffers included; above it a connection that is behind is treated as if its own bound were
    reached, and one that keeps up is not.
    """

    bytes: int = 1 << 20
    seconds: float = 10
    budget: int = 1 << 28

    def __post_init__(self) -> None:
        check_count("Outbox(bytes=…)", self.bytes, least=1024)
        check_positive("Outbox(seconds=…)", self.seconds, "seconds")
        check_count(f"Outbox(bytes={self.bytes}, budget=…)", self.budget, least=self.bytes)

    @property
    def enough(self) -> int:
        """Bytes that are good at once: who has more to put in waits, a stream for the peer, others for the loop."""
        return min(1 << 16, self.bytes // 4)


class Frame:
    """One outbound message, encoded and framed once for all its receivers.

    Attributes:
        wire: the unmasked WebSocket frame (RFC 6455, section 5.2), never compressed: legal after any negotiation.
        size: bytes of the payload, which is what the codec made of the message.
        text: whether it goes into a text frame.
        type: the tag of the message.
        slow: what a slow consumer loses of it; ``slow_value`` is the value of the key field.
    """

    __slots__ = ("__dict__", "size", "slow", "slow_value", "text", "type", "wire")

    def __init__(
        self, payload: bytes, type: str, text: bool = True, slow: Slow = CLOSE, slow_value: Hashable = None
    ) -> None:
        size = self.size = len(payload)
        opcode = 0x81 if text else 0x82
        if size < 126:
            self.wire = b"%c%c%b" % (opcode, size, payload)
        elif size < 65536:
            self.wire = b"%c\x7e%b%b" % (opcode, size.to_bytes(2, "big"), payload)
        else:
            self.wire = b"%c\x7f%b%b" % (opcode, size.to_bytes(8, "big"), payload)
        self.type = type
        self.text = text
        self.slow = slow
        self.slow_value = slow_value

    def __len__(self) -> int:
        return self.size

    @property
    def payload(self) -> bytes:
        """What is framed."""
        return self.wire[len(self.wire) - self.size :]

    @cached_property
    def event(self) -> dict[str, str | bytes]:
        """The payload as ASGI wants it, for a server that frames by itself."""
        return {"text": self.payload.decode()} if self.text else {"bytes": self.payload}


class Budget:
    """Bytes that wait in all outboxes of a node, and behind them."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class OutboxQueue:
    """The frames that wait for one connection.

    Attributes:
        size: payload bytes that wait here.
    """

    __slots__ = ("_behind", "_budget", "_dead", "_droppable", "_frames", "limit", "size")

    def __init__(self, limit: int, budget: Budget) -> None:
        self.limit = limit
        self.size = 0
        self._behind = 0
        self._budget = budget
        self._frames: deque[Frame | list[Frame]] = deque()
        # A droppable frame stands in both, in a list of its own that is emptied when it is dropped.
        self._droppable: dict[Hashable, deque[list[Frame]]] = {}
        self._dead = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    @property
    def behind(self) -> int:
        """Bytes that wait behind this queue, in the transport; above 0 only while the peer does not keep up.

        The policies ``drop_oldest`` and ``latest`` touch nobody else: a consumer that keeps up loses nothing.
        """
        return self._behind

    @behind.setter
    def behind(self, size: int) -> None:
        self._budget.used += size - self._behind
        self._behind = size

    def fits(self, frame: Frame) -> bool:
        """Whether ``frame`` can be queued within the bounds, beside what waits already."""
        return not self._exceeds(frame.size)

    def put(self, frame: Frame) -> int:
        """Queue ``frame``, within the bounds and by its policy.

        Returns how many frames were lost to the policy, this one included where it is the one; or ``OVERFLOW``.
        """
        length = frame.size
        if frame.slow.policy != "close":
            return self._put_droppable(frame, length)
        # Asked only where it may be so: most queues are nearly empty.
        if (self._behind or self.size + length > self.limit) and self._exceeds(length):
            return OVERFLOW
        self._frames.append(frame)
        self.size += length
        self._budget.used += length
        return 0

    def take(self) -> list[Frame]:
        """Remove and return everything, in order."""
        frames: list[Frame] = []
        for entry in self._frames:
            if isinstance(entry, Frame):
                frames.append(entry)
            else:
                frames += entry
        self.clear()
        return frames

    def clear(self) -> None:
        """Forget everything; what waits no longer counts against the node's budget."""
        self._frames.clear()
        self._droppable.clear()
        self._dead = 0
        self._budget.used -= self.size
        self.size = 0

    def _exceeds(self, length: int) -> bool:
        waiting = self.size + self._behind
        # A frame larger than the bound still passes an empty outbox.
        return waiting > 0 and (
            waiting + length > self.limit
            or (self._behind > 0 and self._budget.used + length > self._budget.limit)
        )

    def _put_droppable(self, frame: Frame, length: int) -> int:
        key: Hashable = frame.type if frame.slow.policy == "drop_oldest" else (frame.type, frame.slow_value)
        queued = self._droppable.setdefault(key, deque())
        lost = 0
        if frame.slow.policy == "latest" and self._behind:
            while queued:
                self._drop(queued)
                lost += 1
        while self._exceeds(length):
            lost += 1
            if not queued:
                del self._droppable[key]
                return lost
            self._drop(queued)
        entry = [frame]
        queued.append(entry)
        self._frames.append(entry)
        self.size += length
        self._budget.used += length
        return lost

    def _drop(self, queued: deque[list[Frame]]) -> None:
        length = len(queued.popleft().pop())
        self.size -= length
        self._budget.used -= length
        self._dead += 1
        if self._dead > 64 and self._dead * 2 > len(self._frames):
            self._frames = deque(entry for entry in self._frames if entry != [])
            self._dead = 0
