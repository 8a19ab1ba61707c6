"""Brokers: how publications pass between nodes. One interface, one module for each implementation."""

import time
from collections.abc import Callable

from protocol.brokers.base import (
    KEY_SECONDS,
    Broker,
    Deliver,
    Key,
    Publication,
    room_channel,
    user_channel,
)
from protocol.brokers.memory import MemoryBroker, MemoryBus
from protocol.exceptions import ConfigurationError

__all__ = [
    "KEY_SECONDS",
    "Broker",
    "Deliver",
    "Key",
    "MemoryBroker",
    "MemoryBus",
    "Publication",
    "check",
    "connect",
    "room_channel",
    "user_channel",
]


def check(url: str) -> None:
    """Raise ``ConfigurationError`` where ``url`` names no broker, before anything is connected."""
    if url != "memory://":
        raise ConfigurationError(f"No broker is known for {url!r}. There is: 'memory://'.")


def connect(url: str, *, monotonic: Callable[[], float] = time.monotonic) -> Broker:
    """Return the broker that ``url`` names, not started yet. ``monotonic`` tells the time in seconds.

    ``memory://`` is a bus of its own: one node, one process.
    """
    check(url)
    return MemoryBroker(MemoryBus(monotonic=monotonic))
