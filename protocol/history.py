"""A room's history: its declaration, its stream of entries, and a reader's way back into it.

Sans-IO: time is an argument, in seconds of a clock that never goes back, and nothing here waits or delivers.
Who stores streams, and who passes publications on, is a broker (:mod:`protocol.brokers`).
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from protocol.exceptions import check_count, check_positive
from protocol.types import Position

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a room keeps: the newest ``size`` publications, each for ``ttl`` seconds.

    Who returns at most ``recover`` publications behind gets them replayed; who is further behind starts over.
    """

    size: int = 1000
    ttl: float = 3600
    recover: int = 300

    def __post_init__(self) -> None:
        check_count("History(size=…)", self.size)
        check_positive("History(ttl=…)", self.ttl, "seconds")
        check_count("History(recover=…)", self.recover, least=0)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A piece of a stream, oldest entry first, without a hole.

    ``position`` is the top of the stream when it was read. ``recovered``: the entries follow directly on the
    position that was asked for. Where it is false although one was asked for, there are no entries: what is
    left of the stream does not follow on it.
    """

    entries: tuple[T, ...]
    position: Position
    recovered: bool


class Load:
    """What the entries of several streams weigh together, in a unit of the caller's."""

    __slots__ = ("weight",)

    def __init__(self) -> None:
        self.weight = 0


class Stream(Generic[T]):
    """One room's stream. An entry beyond the size, older than the ttl, or let go, is never seen again.

    Offset and epoch outlive the entries: they last as long as the object. A new object needs a new epoch. What
    its entries weigh counts in ``load``.

    Attributes:
        used: when it was last appended to or read, or was still of use to somebody.
    """

    __slots__ = ("_entries", "_load", "epoch", "history", "offset", "used")

    def __init__(self, history: History, epoch: str, now: float, load: Load | None = None) -> None:
        self.history = history
        self.epoch = epoch
        self.offset = 0
        self.used = now
        self._load = Load() if load is None else load
        # The time of publication, the entry and its weight; the newest entry has the offset of the stream. An
        # empty deque takes 700 bytes, and most streams of a large node are empty.
        self._entries: deque[tuple[float, T, int]] | None = None

    def __len__(self) -> int:
        return len(self._entries or ())

    @property
    def position(self) -> Position:
        return Position(self.offset, self.epoch)

    def append(self, entry: Callable[[Position], T], now: float, weight: int = 1) -> T:
        """Store what ``entry`` makes of its position, and return it."""
        self.used = now
        self.expire(now)
        made = entry(Position(self.offset + 1, self.epoch))
        self.offset += 1
        if self._entries is None:
            self._entries = deque()
        self._entries.append((now, made, weight))
        self._load.weight += weight
        if len(self._entries) > self.history.size:
            self._drop(self._entries)
        return made

    def since(self, after: Position | None, now: float, limit: int | None = None) -> Page[T]:
        """Read what follows on ``after``.

        With a ``limit``, the first that many entries after it, or without ``after`` the newest that many.
        Without a limit this is a recovery: everything after it, or nothing where that is more than the
        history's ``recover``.
        """
        self.used = now
        self.expire(now)
        if after is None:
            return Page(self._newest(limit or 0), self.position, recovered=False)
        behind = self.offset - after.offset
        longest = len(self) if limit is not None else min(len(self), self.history.recover)
        if after.epoch != self.epoch or not 0 <= behind <= longest:
            return Page((), self.position, recovered=False)
        return Page(self._newest(behind)[:limit], self.position, recovered=True)

    def expire(self, now: float) -> None:
        """Let go of the entries that are older than the ttl."""
        oldest = now - self.history.ttl
        while self._entries and self._entries[0][0] <= oldest:
            self._drop(self._entries)
        if not self._entries:
            self._entries = None

    def lighten(self, weight: int) -> None:
        """Let go of the oldest entries, until the load is at most ``weight`` or none is left."""
        while self._entries and self._load.weight > weight:
            self._drop(self._entries)
        if not self._entries:
            self._entries = None

    def idle(self, now: float) -> bool:
        """Nobody has used it for a ttl: who keeps it may forget it, and nobody loses what was promised."""
        return self.used + self.history.ttl <= now

    def _newest(self, count: int) -> tuple[T, ...]:
        newest = [entry for _, entry, _ in islice(reversed(self._entries or ()), count)]
        return tuple(reversed(newest))

    def _drop(self, entries: deque[tuple[float, T, int]]) -> None:
        self._load.weight -= entries.popleft()[2]


class Recovery(Generic[T]):
    """One reader's way into a stream: what was missed, then what is live, each offset once and in order.

    Give it what arrives live from before the stream is read (:meth:`live`), then what was read
    (:meth:`begin`), and take what is to be sent, at the reader's pace (:meth:`pop`). Both ``live`` and
    ``begin`` answer false where the order cannot be kept without a hole: the reader must start over. So it
    must when more than ``limit`` live items wait.

    ``heard`` is the last position that the caller has seen live before, where it knows it.
    """

    __slots__ = ("_early", "_heard", "_last", "_limit", "_live", "_missed", "_read")

    def __init__(self, heard: Position | None = None, *, limit: int = 1000) -> None:
        self._heard = heard
        self._limit = limit
        self._early: list[tuple[Position, T]] = []
        self._missed: deque[T] = deque()
        self._live: deque[T] = deque()
        self._read: Position | None = None
        self._last = Position(0, "")

    def __len__(self) -> int:
        """How many items can be taken now."""
        return len(self._missed) + len(self._live)

    @property
    def caught_up(self) -> bool:
        """Nothing waits, and what arrives from now on is new to the reader: it needs no recovery any more.

        What was read may still be on its way to arrive live; until then this is false, and the repeats are
        left out here.
        """
        if self._read is None or self:
            return False
        heard = self._heard
        return self._read.offset == 0 or (
            heard is not None and heard.epoch == self._read.epoch and heard.offset >= self._read.offset
        )

    @property
    def position(self) -> Position:
        """Where a reader is that has got all that was taken; known from :meth:`begin` on."""
        return Position(self._last.offset - len(self), self._last.epoch)

    def live(self, position: Position, item: T) -> bool:
        """A publication arrived, in the order of the stream. False: start over."""
        self._heard = position
        if len(self._live) + len(self._early) >= self._limit:
            return False
        if self._read is None:
            self._early.append((position, item))
            return True
        return self._follow(position, item)

    def begin(self, top: Position, missed: Iterable[T]) -> bool:
        """The stream was read up to ``top``; ``missed`` is what the reader lacks of it. False: start over."""
        self._read = self._last = top
        self._missed.extend(missed)
        early, self._early = self._early, []
        return all(self._follow(position, item) for position, item in early)

    def pop(self) -> T:
        """Take the next item. ``IndexError`` where none waits."""
        return self._missed.popleft() if self._missed else self._live.popleft()

    def _follow(self, position: Position, item: T) -> bool:
        if position.epoch != self._last.epoch or position.offset > self._last.offset + 1:
            return False
        if position.offset > self._last.offset:
            self._last = position
            self._live.append(item)
        return True
