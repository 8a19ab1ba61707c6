"""The broker of one process: several nodes may share one bus, and no call ever suspends.

Nothing here has a timer or a task. What is no longer needed is forgotten in passing, a little on each use, so
that neither one call nor the memory grows with the number of rooms that were ever used. Where what is still of use
takes too much, the oldest publications of the rooms that nobody has used for longest go first: who comes back to
one of them starts over.
"""

import heapq
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from typing import Final

from protocol.brokers.base import KEY_SECONDS, Deliver, Key, Publication
from protocol.exceptions import Unavailable
from protocol.history import History, Load, Page, Stream
from protocol.types import Delivery, Position

_SWEEP: Final = 4
"""Each use adds at most one stream and one key, and looks at this many that are due."""

_STREAM: Final = 1000
_ENTRY: Final = 400
"""Bytes that CPython takes for a stream, and for a publication in it beside its body."""


class MemoryBus:
    """What the brokers of one process share: subscriptions, streams and keys.

    ``monotonic`` tells the time in seconds. ``epoch`` begins the name of every epoch of this bus; by default it
    is random. ``carry`` brings a publication to a subscribed node, the publishing one too, by calling its broker's
    ``receive``, now or later; what goes to one node must arrive in the order of the calls. It returns what
    ``receive`` did, or ``None`` where that is still to come. ``max_bytes``: what all streams may take together.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        epoch: str | None = None,
        carry: "Callable[[MemoryBroker, Publication], Delivery | None] | None" = None,
        max_bytes: int = 1 << 28,
    ) -> None:
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._load = Load()
        self._epoch = secrets.token_urlsafe(6) if epoch is None else epoch
        self._carry = MemoryBroker.receive if carry is None else carry
        # A dict for its order: nodes get a publication in the order of their subscription, run after run.
        self._subscribers: dict[str, dict[MemoryBroker, None]] = {}
        # Who was used last is last.
        self._streams: OrderedDict[str, Stream[Publication]] = OrderedDict()
        self._created = 0
        # Every stream is in this heap, under a time at which it is looked at; some that are forgotten are, too.
        self._due: list[tuple[float, str]] = []
        # In the order of their expiry, because all live equally long. To find the first of a dict takes longer
        # the more were removed before it.
        self._keys: OrderedDict[tuple[str, Key], tuple[float, Position | None]] = OrderedDict()

    def __len__(self) -> int:
        """How many channels, streams and keys are held."""
        return len(self._subscribers) + len(self._streams) + len(self._keys)

    def subscribe(self, channel: str, broker: "MemoryBroker") -> None:
        self._subscribers.setdefault(channel, {})[broker] = None

    def unsubscribe(self, channel: str, broker: "MemoryBroker") -> None:
        subscribers = self._subscribers.get(channel, {})
        subscribers.pop(broker, None)
        if not subscribers:
            self._subscribers.pop(channel, None)
            # Who leaves a quiet room last can come back within the ttl, however long ago its last publication.
            if (stream := self._streams.get(channel)) is not None:
                stream.used = self._monotonic()

    def publish(
        self, sender: "MemoryBroker", publication: Publication, history: History | None, key: Key | None
    ) -> Delivery:
        stored = position = None
        if history is not None or key is not None:
            (channel,) = publication.channels
            now = self._monotonic()
            self._sweep(now)
            if key is not None and (repeat := self.repeated(channel, key)) is not None:
                return repeat
            if history is not None:
                weight = _ENTRY + len(publication.body)
                stream = self._stream(channel, history, now)
                self._fit(weight, channel)
                stored = stream.append(publication.at, now, weight)
                position = stored.position
            if key is not None:
                self._keys[channel, key] = (now + KEY_SECONDS, position)
        subscribed = self._subscribed(publication.channels)
        receivers, dropped = len(subscribed), 0
        if sender in subscribed:
            own = publication if stored is None else publication.at(position, publication.message)
            if (delivery := self._carry(sender, own)) is not None:
                receivers += delivery.receivers - 1
                dropped = delivery.dropped
        others = [broker for broker in subscribed if broker is not sender]
        if others:
            passed = publication.at(None) if stored is None else stored
            for broker in others:
                self._carry(broker, passed)
        return Delivery(receivers, dropped, position)

    def repeated(self, channel: str, key: Key) -> Delivery | None:
        expires, position = self._keys.get((channel, key), (-math.inf, None))
        if expires > self._monotonic():
            return Delivery(position=position, repeated=True)
        # Applied anew it must stand at the end, in the order of expiry.
        self._keys.pop((channel, key), None)
        return None

    def history(
        self, channel: str, history: History | None, after: Position | None, limit: int | None
    ) -> Page[Publication]:
        if history is None:
            return Page((), Position(0, self._epoch), recovered=False)
        now = self._monotonic()
        self._sweep(now)
        return self._stream(channel, history, now).since(after, now, limit)

    def _stream(self, channel: str, history: History, now: float) -> Stream[Publication]:
        stream = self._streams.get(channel)
        if stream is None:
            self._fit(_STREAM, channel)
            self._load.weight += _STREAM
            self._created += 1
            epoch = f"{self._epoch}.{self._created}"
            stream = self._streams[channel] = Stream(history, epoch, now, self._load)
            self._look_later(channel, now + history.ttl)
        stream.history = history
        self._streams.move_to_end(channel)
        return stream

    def _look_later(self, channel: str, when: float) -> None:
        heapq.heappush(self._due, (when, channel))
        if len(self._due) > 2 * len(self._streams) + 64:
            self._due = [(stream.used + stream.history.ttl, name) for name, stream in self._streams.items()]
            heapq.heapify(self._due)

    def _fit(self, needed: int, keep: str) -> None:
        """Make room for so many bytes, at the expense of the streams that nobody has used for longest."""
        limit = self._max_bytes - needed
        for _ in range(len(self._streams)):
            if self._load.weight <= limit:
                return
            channel, stream = next(iter(self._streams.items()))
            stream.lighten(limit)
            if len(stream):
                return
            if channel == keep or channel in self._subscribers:
                # Its offset and epoch still say to its members that nothing is lost.
                self._streams.move_to_end(channel)
            else:
                self._forget(channel)

    def _forget(self, channel: str) -> None:
        """Forget a stream without entries."""
        del self._streams[channel]
        self._load.weight -= _STREAM

    def _subscribed(self, channels: tuple[str, ...]) -> "dict[MemoryBroker, None]":
        """The nodes that are subscribed to one of ``channels``."""
        if len(channels) == 1:
            return self._subscribers.get(channels[0], {})
        return dict.fromkeys(chain.from_iterable(self._subscribers.get(channel, ()) for channel in channels))

    def _sweep(self, now: float) -> None:
        for _ in range(_SWEEP):
            if not self._keys:
                break
            oldest = next(iter(self._keys))
            if self._keys[oldest][0] > now:
                break
            del self._keys[oldest]
        for _ in range(_SWEEP):
            if not self._due or self._due[0][0] > now:
                break
            channel = self._due[0][1]
            stream = self._streams.get(channel)
            if stream is not None:
                stream.expire(now)
                if not stream.idle(now) or channel in self._subscribers:
                    heapq.heapreplace(self._due, (now + stream.history.ttl, channel))
                    continue
                self._forget(channel)
            heapq.heappop(self._due)


class MemoryBroker:
    """One node's access to a bus."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._deliver: Deliver | None = None
        self._channels: set[str] = set()

    async def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    async def close(self) -> None:
        self._deliver = None
        for channel in tuple(self._channels):
            await self.unsubscribe(channel)

    async def subscribe(self, channel: str) -> None:
        self._running().subscribe(channel, self)
        self._channels.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
            self._bus.unsubscribe(channel, self)

    async def publish(
        self, publication: Publication, *, history: History | None = None, key: Key | None = None
    ) -> Delivery:
        return self._running().publish(self, publication, history, key)

    async def repeated(self, channel: str, key: Key) -> Delivery | None:
        return self._running().repeated(channel, key)

    async def history(
        self,
        channel: str,
        *,
        history: History | None,
        after: Position | None = None,
        limit: int | None = None,
    ) -> Page[Publication]:
        return self._running().history(channel, history, after, limit)

    def receive(self, publication: Publication) -> Delivery:
        """Deliver what was carried here, if it is still wanted."""
        if self._deliver is None or self._channels.isdisjoint(publication.channels):
            return Delivery()
        return self._deliver(publication)

    def _running(self) -> MemoryBus:
        if self._deliver is None:
            raise Unavailable("The broker is not running.")
        return self._bus
