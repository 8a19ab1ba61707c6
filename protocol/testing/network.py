"""What lies between simulated nodes: the way to a broker and a presence store that all of them share.

Each question to them takes time on the way there and on the way back, and so does each publication to a node. The
order that :class:`protocol.brokers.Broker` promises is kept, and no other. Time here is that of the network, whatever
the clock of a node shows.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import Context
from functools import partial
from random import Random
from typing import Final, ParamSpec, TypeVar

from protocol.brokers import Key, MemoryBroker, MemoryBus, Publication
from protocol.exceptions import Unavailable
from protocol.history import History, Page
from protocol.presence import Members, MemoryPresence, Renewal
from protocol.testing.clock import VirtualLoop
from protocol.testing.scheduler import PROCESS
from protocol.types import Delivery, Position

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT: Final = 1.0
"""Seconds after which a node gives up a question that is not answered."""

_INSTANT: Final = 0.4
"""How often a way takes no time at all, and nothing else runs meanwhile."""

_TICK: Final = 1e-6

_Arrival = tuple[tuple[str, ...], Callable[[], None]]
"""The channels of a publication, and what happens when it arrives."""


class Link:
    """One node's way to the broker and the presence store.

    ``latency``: seconds that a way takes at most. ``context``: the node's, in which publications arrive.

    Attributes:
        delay: seconds that a publication is on its way to the node at most.
        window: seconds in which publications gather, to arrive together, the channels in any order.
        until: when everything that is under way now will have arrived.
    """

    def __init__(self, loop: VirtualLoop, random: Random, latency: float, context: Context) -> None:
        self.delay = latency
        self.window = 0.0
        self.until = 0.0
        self._random = random
        self._latency = latency
        self._context = context
        self._loop = loop
        # When the last publication of each channel arrives.
        self._arrivals: dict[str, float] = {}
        # Publications that have not arrived; the timers of a suspended node are late.
        self._under_way = 0
        self._gathered: list[_Arrival] = []
        self._cut = False
        self._held: list[Callable[[], None]] = []

    async def ask(self, question: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask, and wait for the answer. ``Unavailable`` where none comes; what was asked for may be done then."""
        await self.way()
        if not self._cut:
            answer = await question(*args, **kwargs)
            await self.way()
            if not self._cut:
                return answer
        await self._pass(TIMEOUT)
        raise Unavailable("There was no answer.")

    async def way(self) -> None:
        """Wait as long as one way takes."""
        if seconds := self._seconds(self._latency):
            await self._pass(seconds)

    def carry(self, broker: "RemoteBroker", publication: Publication) -> Delivery | None:
        """Bring a publication to the node; sometimes at once, where the node is its publisher."""
        seconds = self._seconds(self.delay)
        here = PROCESS.get() is self._context.get(PROCESS)
        if here and not seconds and not self.window and not self._under_way:
            return broker.receive(publication)
        self._under_way += 1
        subscriptions = broker.subscriptions(publication.channels)
        arrival = (publication.channels, partial(self._arrive, broker, publication, subscriptions))
        if self.window or self._gathered:
            self._gather(arrival)
        else:
            self._send(arrival, seconds)
        return None

    def cut(self) -> None:
        """Nothing passes any more, in either direction."""
        self._cut = True

    def mend(self) -> None:
        """It passes again; what has waited on its way to the node comes first."""
        self._cut = False
        held, self._held = self._held, []
        for arrive in held:
            self._loop.call_soon(arrive, context=self._context)

    def _arrive(self, broker: "RemoteBroker", publication: Publication, subscriptions: set[int]) -> None:
        if self._cut:
            self._held.append(partial(self._arrive, broker, publication, subscriptions))
            return
        self._under_way -= 1
        # What was applied before the node let go of a channel does not come when it takes the channel up again.
        if subscriptions & broker.subscriptions(publication.channels):
            broker.receive(publication)

    def _gather(self, arrival: _Arrival) -> None:
        if not self._gathered:
            due = self._loop.now + self.window
            self.until = max(self.until, due)
            self._loop.at(due, self._release)
        self._gathered.append(arrival)

    def _release(self) -> None:
        gathered, self._gathered = self._gathered, []
        for number, arrival in enumerate(_shuffled(gathered, self._random)):
            self._send(arrival, number * _TICK)

    def _send(self, arrival: _Arrival, seconds: float) -> None:
        """Let it arrive in ``seconds``, but behind everything else of its channels."""
        channels, arrive = arrival
        earliest = max(self._arrivals.get(channel, 0.0) for channel in channels) + _TICK
        due = max(self._loop.now + seconds, earliest)
        self._arrivals.update(dict.fromkeys(channels, due))
        self.until = max(self.until, due)
        self._loop.at(due, arrive, context=self._context)

    async def _pass(self, seconds: float) -> None:
        passed = asyncio.Event()
        due = self._loop.now + seconds
        self.until = max(self.until, due)
        self._loop.at(due, passed.set)
        await passed.wait()

    def _seconds(self, most: float) -> float:
        return 0.0 if self._random.random() < _INSTANT else self._random.random() * most


def _shuffled(gathered: Iterable[_Arrival], random: Random) -> Iterator[_Arrival]:
    """In any order that keeps the order of each channel."""
    left = list(gathered)
    while left:
        before: set[str] = set()
        free = []
        for index, (channels, _) in enumerate(left):
            if before.isdisjoint(channels):
                free.append(index)
            before.update(channels)
        yield left.pop(random.choice(free))


class RemoteBroker(MemoryBroker):
    """A node's access to the bus, behind its link."""

    def __init__(self, bus: MemoryBus, link: Link) -> None:
        super().__init__(bus)
        self.link = link
        self._serials: dict[str, int] = {}
        self._serial = itertools.count()

    def subscriptions(self, channels: Iterable[str]) -> set[int]:
        """The numbers of the subscriptions to ``channels``; each one has its own."""
        return {self._serials[channel] for channel in channels if channel in self._serials}

    def drop(self) -> None:
        """The bus forgets the node, which hears nothing of it."""
        for channel in self._serials:
            self._bus.unsubscribe(channel, self)
        self._serials.clear()

    async def close(self) -> None:
        self.drop()
        await super().close()

    async def subscribe(self, channel: str) -> None:
        await self.link.ask(self._subscribe, channel)

    async def _subscribe(self, channel: str) -> None:
        await super().subscribe(channel)
        self._serials.setdefault(channel, next(self._serial))

    async def unsubscribe(self, channel: str) -> None:
        await self.link.way()
        self._serials.pop(channel, None)
        await super().unsubscribe(channel)

    async def publish(
        self, publication: Publication, *, history: History | None = None, key: Key | None = None
    ) -> Delivery:
        return await self.link.ask(super().publish, publication, history=history, key=key)

    async def repeated(self, channel: str, key: Key) -> Delivery | None:
        return await self.link.ask(super().repeated, channel, key)

    async def history(
        self,
        channel: str,
        *,
        history: History | None,
        after: Position | None = None,
        limit: int | None = None,
    ) -> Page[Publication]:
        return await self.link.ask(super().history, channel, history=history, after=after, limit=limit)


class RemotePresence:
    """A node's access to the presence store, behind its link."""

    def __init__(self, store: MemoryPresence, link: Link) -> None:
        self._store = store
        self._ask = link.ask

    async def connect(self, user: str, connection: str) -> None:
        await self._ask(self._store.connect, user, connection)

    async def disconnect(self, user: str, connection: str) -> tuple[str, ...]:
        return await self._ask(self._store.disconnect, user, connection)

    async def join(self, room: str, user: str, connection: str) -> bool | None:
        return await self._ask(self._store.join, room, user, connection)

    async def leave(self, room: str, user: str, connection: str) -> bool:
        return await self._ask(self._store.leave, room, user, connection)

    async def members(self, room: str, *, limit: int = 200) -> Members:
        return await self._ask(self._store.members, room, limit=limit)

    async def set_status(self, user: str, status: str) -> tuple[str, ...] | None:
        return await self._ask(self._store.set_status, user, status)

    async def renew(self, connections: Iterable[str]) -> Renewal:
        return await self._ask(self._store.renew, connections)


def _carry(broker: MemoryBroker, publication: Publication) -> Delivery | None:
    assert isinstance(broker, RemoteBroker)
    return broker.link.carry(broker, publication)


class Cluster:
    """What the nodes of each protocol share, by its title: the bus and the presence store."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._monotonic = lambda: loop.now
        self._shared: dict[str, tuple[MemoryBus, MemoryPresence]] = {}

    def of(self, title: str) -> tuple[MemoryBus, MemoryPresence]:
        """The bus and the presence store of the protocol ``title``."""
        if title not in self._shared:
            bus = MemoryBus(monotonic=self._monotonic, epoch=f"e{len(self._shared) + 1}", carry=_carry)
            self._shared[title] = bus, MemoryPresence(monotonic=self._monotonic)
        return self._shared[title]
