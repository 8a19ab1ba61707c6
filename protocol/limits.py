"""How much a peer may send, and how much broken input it may send before it is closed.

Here are the verdicts only. Time comes in as an argument, in seconds of a monotonic clock; who is limited by
what, and what an answer looks like, is the business of the pipeline and of the middleware.
"""

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Never

from protocol.exceptions import ConfigurationError, check_count, check_positive

_SLACK: Final = 1e-3
"""The part of an interval by which a message may come early, so that rounding refuses nobody who waited."""


@dataclass(frozen=True, slots=True, init=False)
class Rate:
    """So many messages per second on average, and at most ``burst`` at once.

    ``burst`` defaults to the messages of one second, and to 1 for a rate below that.
    """

    per_second: float
    burst: int

    def __init__(self, per_second: float, *more: Never, burst: int | None = None) -> None:
        if more:
            raise ConfigurationError(
                f"Rate takes one number per second; how many at once is Rate({per_second!r}, burst=…)."
            )
        check_positive("Rate(per_second=…)", per_second, "messages per second")
        if burst is None:
            burst = math.ceil(per_second)
        check_count("Rate(burst=…)", burst)
        object.__setattr__(self, "per_second", per_second)
        object.__setattr__(self, "burst", burst)


class Limiter:
    """Holds every key to a :class:`Rate`, in a table of at most ``capacity`` keys.

    The generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A; ATM Forum TM 4.0,
    section 4.4): of each key only the theoretical arrival time of its next message is kept, and a message
    conforms when it is at most ``burst - 1`` intervals ahead of that. A token bucket without the refilling.

    A key whose arrival time has passed is no different from one that was never seen, and is forgotten when
    new keys come. When the table is full of keys that are in debt, *a new key is refused* until one of them
    has paid: whoever invents keys can neither get past the limit nor wash off anybody's debt, and in no
    window of ``t`` seconds does a key get more than ``burst + per_second * t`` messages through, whatever the
    others do. The price is that newcomers wait meanwhile: choose ``capacity`` above the number of keys that
    can be in debt at once.
    """

    __slots__ = ("_arrivals", "_capacity", "_due", "_now", "_per_second", "_tolerance")

    def __init__(self, rate: Rate, *, capacity: int = 100_000) -> None:
        check_count("Limiter(capacity=…)", capacity)
        # Time is counted in intervals of the rate: a message adds 1, and no rounding errors add up.
        self._per_second = rate.per_second
        self._tolerance = rate.burst - 1
        self._capacity = capacity
        self._now = -math.inf
        self._arrivals: dict[Hashable, float] = {}
        # Each key of the table once, with the time to see whether it can be forgotten, soonest first.
        self._due: deque[tuple[float, Hashable]] = deque()

    def __len__(self) -> int:
        """The number of keys in the table, some of which may be ready to forget."""
        return len(self._arrivals)

    def take(self, key: Hashable, now: float) -> float:
        """Take one message for ``key``: 0.0 when it conforms, else the seconds after which one would.

        A refused message takes nothing. A new key that finds the table full gets the seconds after which
        another try is worth it, without a promise. A clock that goes back stands still until it has caught
        up.
        """
        cells = now * self._per_second
        if cells < self._now:
            cells = self._now
        else:
            self._now = cells
        arrival = self._arrivals.get(key)
        if arrival is None:
            return self._admit(key, cells)
        if arrival <= cells:
            self._arrivals[key] = cells + 1
            return 0.0
        early = arrival - cells - self._tolerance
        if early > _SLACK:
            return early / self._per_second
        self._arrivals[key] = arrival + 1
        return 0.0

    def refund(self, key: Hashable) -> None:
        """Undo the ``take`` of ``key`` that has just conformed, because another limit refused the message."""
        self._arrivals[key] -= 1

    def _admit(self, key: Hashable, cells: float) -> float:
        self._forget(cells)
        if len(self._arrivals) >= self._capacity:
            return (self._due[0][0] - cells) / self._per_second
        self._arrivals[key] = cells + 1
        self._due.append((cells + 1, key))
        return 0.0

    def _forget(self, cells: float) -> None:
        """Look at two keys that are due; where the table is full, at more, until there is a place.

        A key still in debt is due again one interval later, which keeps the queue in order. It is looked at
        no more often than it has taken messages, so the work per message is constant on average; two looks
        for each new key keep the table at about twice the keys in debt, or below.
        """
        looks = 2
        while self._due and self._due[0][0] <= cells and (looks > 0 or len(self._arrivals) >= self._capacity):
            looks -= 1
            _, key = self._due.popleft()
            if self._arrivals[key] <= cells:
                del self._arrivals[key]
            else:
                self._due.append((cells + 1, key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How many broken frames close a connection: ``row`` with no good one between, ``minute`` in 60 seconds.

    Broken frames are those answered with a code of ``protocol.codes.BROKEN_FRAME``. Other errors neither
    count nor end a row. ``None``: no such limit.
    """

    row: int | None = 50
    minute: int | None = 200

    def __post_init__(self) -> None:
        check_count("Tolerance(row=…)", self.row, or_none=True)
        check_count("Tolerance(minute=…)", self.minute, or_none=True)


class ToleranceMeter:
    """Counts the broken frames of one connection against a :class:`Tolerance`, in O(``minute``) memory."""

    __slots__ = ("_times", "_tolerance", "row")

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self.row = 0
        self._times: deque[float] | None = None  # most connections never need it

    def good(self) -> None:
        """A frame was valid: the row ends."""
        self.row = 0

    def broken(self, now: float) -> bool:
        """A frame was broken; whether that is one too many, and the connection has to be closed."""
        self.row += 1
        row, minute = self._tolerance.row, self._tolerance.minute
        if minute is None:
            in_a_minute = False
        else:
            if self._times is None:
                self._times = deque(maxlen=minute)
            self._times.append(now)
            in_a_minute = len(self._times) == minute and now - self._times[0] < 60
        return in_a_minute or (row is not None and self.row >= row)
