"""What clients do, step by step, and the frames that they send: the words of programs and transcripts.

A step is data. Who plays it is :mod:`protocol.testing.player`; how it is written down, with what came of it, is
:mod:`protocol.testing.transcript`.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NoReturn, TypeAlias, get_args

from protocol.testing.hooks import answer_of

Data = str | bytes
"""A frame's payload: text or binary."""
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Connect:
    """Client ``client`` connects, at ``path`` where that is not the usual one. Connected already: nothing.

    ``node``: to which one, where there are several; by default client 0 to node 0, 1 to 1, and so on, in turns.
    ``room``: the part of the path that names a room. ``opening``: what it sends at once, before anything else.
    """

    client: int
    path: str | None = None
    node: int | None = None
    room: str | None = None
    opening: Data | None = None

    def at(self, nodes: int) -> int:
        """To which of ``nodes`` it connects."""
        return (self.client if self.node is None else self.node) % nodes


@dataclass(frozen=True, slots=True)
class Reference:
    """A member of a message that is what a client has received.

    Attributes:
        at: the names that lead to the member.
        member: the name under which the value came.
        back: how many other values came after it.
    """

    at: tuple[str, ...]
    member: str
    back: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """A client sends one frame.

    ``refers``: what is put into the frame when it is sent, all of it or nothing; ``data`` is what is sent where
    something has not come. In an exchange ``data`` is what was sent.
    """

    client: int
    data: Data
    refers: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Burst:
    """Frames that are all under way before the first is answered."""

    sends: tuple[Send, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """A client closes with 1000, and is done when the server has answered."""

    client: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A client is gone without a close frame."""

    client: int


@dataclass(frozen=True, slots=True)
class Vanish:
    """The link of a client breaks, and the server finds that out by its keepalive. In a simulation only."""

    client: int


@dataclass(frozen=True, slots=True)
class Pause:
    """A client stops reading."""

    client: int


@dataclass(frozen=True, slots=True)
class Resume:
    """A client reads again."""

    client: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    seconds: float


FaultName = Literal["crash", "restart", "suspend", "resume", "isolate", "rejoin", "delay", "reorder", "skew"]

FAULTS: Final[tuple[FaultName, ...]] = get_args(FaultName)


@dataclass(frozen=True, slots=True)
class Fault:
    """The method ``name`` of a :class:`protocol.testing.Simulation` is called for ``node``.

    ``by`` is its argument, where it has one: the seconds of a delay, the rate of a clock. ``after``: not now, but so
    many seconds into the next step.
    """

    name: FaultName
    node: int
    by: float | None = None
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """From here on ``seed`` decides what happens next in a simulation, where several things could."""

    seed: int


Step: TypeAlias = Connect | Send | Burst | Close | Drop | Vanish | Pause | Resume | Wait | Fault | Seed


def sends_of(step: Step) -> tuple[Send, ...]:
    """The frames that a step sends."""
    match step:
        case Send():
            return (step,)
        case Burst(sends):
            return sends
        case Connect(client, opening=str() | bytes() as opening):
            return (Send(client, opening),)
    return ()


Opening: TypeAlias = Body | Callable[[int], Body]
"""What a client sends first, to a server that waits for it before it serves: a message, or who makes it.

By the client's number, and each time that it connects, so that a token or a ticket can be a fresh one.
"""


def opened(steps: Iterable[Step], opening: Opening, first: int = 0) -> tuple[Step, ...]:
    """``steps`` in which everybody who connects says ``opening``. ``first``: what is added to a client's number."""
    return tuple(
        replace(step, opening=dumped(_said(opening, first + step.client)))
        if isinstance(step, Connect)
        else step
        for step in steps
    )


def _said(opening: Opening, client: int) -> Body:
    if not callable(opening):
        return opening
    found: Body = answer_of(opening, client, name="opening", kinds=(dict,), wanted="a message, as a dict")
    return found


# Frames.


def parsed(data: Data) -> Body | None:
    """The JSON object in a text frame; ``None`` where it has something else, NaN, or a member twice."""
    if isinstance(data, bytes):
        return None
    try:
        value = _STRICT.decode(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def dumped(body: Body) -> str:
    """The text of a body, as short as JSON has it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> Body:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


_STRICT: Final = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_unique)


# For people.

_WIDTH: Final = 160


def shortened(data: Data) -> str:
    """A frame in one line."""
    text = data if isinstance(data, str) else repr(data)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 20]}… ({len(text)} characters)"


_HAPPENS: Final[dict[FaultName, str]] = {
    "crash": "node {node} crashes",
    "restart": "node {node} starts again",
    "suspend": "node {node} stands still",
    "resume": "node {node} goes on",
    "isolate": "node {node} is cut off from the others",
    "rejoin": "node {node} is connected to the others again",
    "delay": "publications take up to {by:g} seconds to node {node}",
    "reorder": "publications of {by:g} seconds come to node {node} together, those of other rooms in another order",
    "skew": "the clock of node {node} goes {by:g} times as fast",
}


def described(step: Step) -> str:
    """A step in one line."""
    match step:
        case Connect(client, path, node):
            where = ("" if path is None else f" to {path}") + ("" if node is None else f" at node {node}")
            return f"{client} connects{where}" + (
                "" if step.opening is None else f" → {shortened(step.opening)}"
            )
        case Send(client, data, refers):
            known = ", ".join(".".join(one.at) for one in refers)
            return f"{client} → {shortened(data)}" + (f" with {known} as received" if known else "")
        case Burst(sends):
            return "at once: " + "; ".join(map(described, sends))
        case Wait(seconds):
            return f"{seconds:g} seconds pass"
        case Close(client):
            return f"{client} closes"
        case Drop(client):
            return f"{client} is gone without a close"
        case Vanish(client):
            return f"{client} vanishes, and nobody knows"
        case Pause(client):
            return f"{client} stops reading"
        case Resume(client):
            return f"{client} reads again"
        case Fault(name, node, by, after):
            when = "" if after is None else f", {after:g} seconds into the next step"
            return _HAPPENS[name].format(node=node, by=by) + when
        case Seed(seed):
            return f"what happens next is decided by the seed {seed}"
