"""The presence stores that the conformance suite runs on, and what it needs of each: nodes, and power over the time."""

from collections.abc import Callable
from typing import Protocol

from protocol.presence import MemoryPresence, Presence


class Stores(Protocol):
    """Stores of the nodes of one cluster."""

    def store(self) -> Presence:
        """Another node's access."""

    def advance(self, seconds: float) -> None:
        """Let time pass, for all nodes at once."""


class MemoryStores:
    def __init__(self) -> None:
        self._now = 1000.0
        self._store = MemoryPresence(monotonic=lambda: self._now)

    def store(self) -> Presence:
        return self._store

    def advance(self, seconds: float) -> None:
        self._now += seconds


STORES: dict[str, Callable[[], Stores]] = {"memory": MemoryStores}
