"""The brokers that the conformance suite runs on, and what it needs of each: nodes, and power over the time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from protocol.brokers import Broker, MemoryBroker, MemoryBus, Publication
from protocol.types import Delivery


class Cluster(Protocol):
    """Brokers that reach each other."""

    def broker(self) -> Broker:
        """Another node's broker, not started."""

    def advance(self, seconds: float) -> None:
        """Let time pass, for all nodes at once."""


class MemoryCluster:
    def __init__(self) -> None:
        self._now = 1000.0
        self._bus = MemoryBus(monotonic=lambda: self._now)

    def broker(self) -> Broker:
        return MemoryBroker(self._bus)

    def advance(self, seconds: float) -> None:
        self._now += seconds


CLUSTERS: dict[str, Callable[[], Cluster]] = {"memory": MemoryCluster}


@dataclass
class Node:
    """A running broker, and what it has delivered."""

    broker: Broker
    answer: Delivery = field(default_factory=Delivery)
    received: list[Publication] = field(default_factory=list)
    _arrival: asyncio.Event = field(default_factory=asyncio.Event)

    def deliver(self, publication: Publication) -> Delivery:
        self.received.append(publication)
        self._arrival.set()
        return self.answer

    async def bodies(self, count: int) -> list[bytes]:
        """Wait until ``count`` publications have arrived; return the bodies of all that have."""
        async with asyncio.timeout(10):
            while len(self.received) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return [publication.body for publication in self.received]


@asynccontextmanager
async def nodes(cluster: Cluster, count: int, channel: str | None = None) -> AsyncIterator[list[Node]]:
    """Run ``count`` nodes, subscribed to ``channel``."""
    running = [Node(cluster.broker()) for _ in range(count)]
    try:
        for node in running:
            await node.broker.start(node.deliver)
            if channel is not None:
                await node.broker.subscribe(channel)
        yield running
    finally:
        for node in running:
            await node.broker.close()
