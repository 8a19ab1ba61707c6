"""One program as it went, in the words of the contract: what the checks look at."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from protocol.fuzzing.contract import Contract
from protocol.testing.comparison import masked
from protocol.testing.remote import NOBODY
from protocol.testing.steps import (
    Body,
    Close,
    Connect,
    Data,
    Drop,
    Fault,
    Pause,
    Step,
    Vanish,
    parsed,
    sends_of,
)
from protocol.testing.transcript import Exchange
from protocol.types import Ref

_PLAYS: Final = 3
"""How often the same is played to see what is otherwise each time: a count shows by two steps."""

_SOON: Final = 3600.0
"""Seconds between now and what a server may mean by it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame of a client.

    ``at``: the number of the exchange. ``objection``: why the server must refuse it; ``None`` for a valid one, which
    has a ``tag``. ``id``: by which it asks for an answer, as far as that can be read.
    """

    at: int
    data: Data
    body: Body | None
    tag: str | None
    id: Ref | None
    objection: str | None


@dataclass(frozen=True, slots=True)
class Received:
    """A frame of the server. ``ref``: the id that it answers."""

    at: int
    data: Data
    body: Body | None
    tag: str | None
    ref: Ref | None


@dataclass(frozen=True, slots=True)
class Talk:
    """One connection: its client, and what was said on it.

    ``first`` and ``last`` are the numbers of the exchanges in which it began and ended. ``ended``: by whom, or how;
    ``None`` for one that was open to the end. ``parameters``: those of its path. ``paused``: at some time it did not
    read, or a fault of its node kept that from serving it.
    """

    client: int
    parameters: Mapping[str, str]
    first: int
    last: int
    ended: str | None
    closed: tuple[int, str] | None
    silent: bool
    paused: bool
    sent: tuple[Sent, ...]
    received: tuple[Received, ...]

    @property
    def opening(self) -> Sent | None:
        """What the client sent as it connected."""
        return self.sent[0] if self.sent and self.sent[0].at == self.first else None


class Run:
    """What happened, and how to see what would have happened otherwise.

    Attributes:
        contract: what the server has promised.
        exchanges: what was done, and what came back.
        newcomers: the number of the first exchange of those that look at what is left when everybody is gone.
        again: plays other steps against a fresh server; ``None`` where there is no such thing.
        growth: what is left when everybody is gone, and more each time that the same steps are played against one
            server: how much after each, by the name of what it is.
        prompt: what a client leaves behind when it goes is seen in the same exchange, and not some time later.
        nodes: how many were simulated; 0 where the server is what it is.
        alone: plays the same steps on one node; ``None`` where that would be nothing else.
    """

    def __init__(
        self,
        contract: Contract,
        exchanges: tuple[Exchange, ...],
        *,
        newcomers: int,
        again: Callable[[tuple[Step, ...]], "Run"] | None = None,
        growth: Mapping[str, tuple[int, ...]] | None = None,
        prompt: bool = True,
        nodes: int = 0,
        alone: "Callable[[], Run] | None" = None,
    ) -> None:
        self.contract = contract
        self.exchanges = exchanges
        self.newcomers = newcomers
        self.again = again
        self.growth = growth or {}
        self.prompt = prompt
        self.nodes = nodes
        self.alone = alone

    @cached_property
    def faults(self) -> tuple[int, ...]:
        """The numbers of the exchanges in which something befell a node or a link."""
        return tuple(
            at for at, exchange in enumerate(self.exchanges) if isinstance(exchange.step, Fault | Vanish)
        )

    @property
    def is_last(self) -> bool:
        """Whether the server ended in it, or before."""
        return any(NOBODY in exchange.refused.values() for exchange in self.exchanges)

    @cached_property
    def talks(self) -> tuple[Talk, ...]:
        """The connections that were accepted, in order."""
        found: list[_Open] = []
        by_client: dict[int, _Open] = {}
        disturbed: set[int] = set()
        for at, exchange in enumerate(self.exchanges):
            step = exchange.step
            match step:
                case Connect(client) if client not in exchange.refused and client not in exchange.silent:
                    node = step.at(self.nodes) if self.nodes else None
                    parameters = self.contract.parameters(step)
                    by_client[client] = _Open(client, at, parameters, node, paused=node in disturbed)
                    found.append(by_client[client])
                case Fault("crash" | "suspend" | "isolate", node):
                    disturbed.add(node)
                    for talk in by_client.values():
                        talk.paused |= talk.node == node
                case Fault("restart", node):
                    disturbed.discard(node)
                case Pause(client) if client in by_client:
                    by_client[client].paused = True
            for send in sends_of(step):
                if send.client in by_client:
                    by_client[send.client].sent.append(self._sent(at, send.data))
            for client, frames in exchange.received.items():
                if client in by_client:
                    by_client[client].received += [self._received(at, data) for data in frames]
            for client in exchange.silent & by_client.keys():
                by_client[client].silent = True
            for client, closed in exchange.closed.items():
                if client in by_client:
                    by_client.pop(client).end(at, "server", closed)
            if isinstance(step, Close | Drop | Vanish) and step.client in by_client:
                by_client.pop(step.client).end(at, type(step).__name__.lower(), None)
        return tuple(talk.closed_at(len(self.exchanges)) for talk in found)

    def learns(self, steps: tuple[Step, ...]) -> bool:
        """Whether ``steps``, played again and again against something fresh, show more members that vary by themselves."""
        if self.again is None:
            return False
        plays = [
            [
                [parsed(data) for data in frames]
                for exchange in self.again(steps).exchanges
                for frames in exchange.received.values()
            ]
            for _ in range(_PLAYS)
        ]
        found = set(_differing(plays, None)) - self.contract.varying
        self.contract.varying.update(found)
        return bool(found)

    def _sent(self, at: int, data: Data) -> Sent:
        body = decoded(data)
        objection = self.contract.objection(data)
        tag = self.contract.tag(body, sent=True) if objection is None else None
        return Sent(at, data, body, tag, self.contract.asked(body), objection)

    def _received(self, at: int, data: Data) -> Received:
        body = parsed(data)
        return Received(at, data, body, self.contract.tag(body, sent=False), self.contract.answered(body))


def _differing(values: Sequence[Any], name: str | None) -> Iterator[str]:
    """The names of the members in which values of the same form vary."""
    if all(isinstance(value, dict) for value in values):
        for key in set(values[0]).intersection(*values[1:]):
            yield from _differing([value[key] for value in values], key)
    elif all(isinstance(value, list) for value in values):
        for items in zip(*values, strict=False):
            yield from _differing(items, name)
    elif name is not None and _varies(values):
        yield name


def _varies(values: Sequence[Any]) -> bool:
    """Whether values are others each time by themselves: texts that differ, numbers that do not count, and times."""
    if all(isinstance(value, str) for value in values):
        return len({masked(value, ()) for value in values}) > 1
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return False
    # What a server has forgotten to let go is as much more with each play as with the one before.
    return len({after - before for before, after in pairwise(values)}) > 1 or all(map(_is_time, values))


def _is_time(value: float) -> bool:
    """Whether a number says what time it is now, in seconds since 1970 or a thousandth, millionth, milliardth of them."""
    return any(abs(value / unit - time.time()) < _SOON for unit in (1, 10**3, 10**6, 10**9))


def decoded(data: Data) -> Body | None:
    """The object that a lenient reader finds in a frame."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _Open:
    """A connection while the exchanges are read."""

    def __init__(
        self, client: int, first: int, parameters: Mapping[str, str], node: int | None, *, paused: bool
    ) -> None:
        self.client = client
        self.parameters = parameters
        self.first = first
        self.node = node
        self.last: int | None = None
        self.ended: str | None = None
        self.closed: tuple[int, str] | None = None
        self.silent = False
        self.paused = paused
        self.sent: list[Sent] = []
        self.received: list[Received] = []

    def end(self, at: int, ended: str, closed: tuple[int, str] | None) -> None:
        self.last, self.ended, self.closed = at, ended, closed

    def closed_at(self, end: int) -> Talk:
        return Talk(
            self.client,
            self.parameters,
            self.first,
            end if self.last is None else self.last,
            self.ended,
            self.closed,
            self.silent,
            self.paused,
            tuple(self.sent),
            tuple(self.received),
        )
