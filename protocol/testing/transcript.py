"""Transcripts: what several clients did, step by step, and what each of them got for it.

The format that the fuzzer writes, that ``record`` writes from real traffic, and that ``replay`` plays again. A
transcript is data: its steps are those of :mod:`protocol.testing.steps`, and :mod:`protocol.testing.player` plays them.

On disk it is one JSON object: ``format``, what is said about the whole (``title``, ``check``, ``barrier``, …), and
``exchanges``. An exchange is a step beside what came back before the next one::

    {"do": "send", "client": 0, "message": {"type": "join", "room": "a", "id": 1},
     "received": {"0": [{"type": "joined", "ref": 1, …}]}, "closed": {"1": [3509, "too many errors"]}}

What a client sends as it connects, to a server that waits for it, is written with its handshake::

    {"do": "connect", "client": 0, "opening": {"message": {"type": "hello", "name": "a"}}}

Where it was played on several simulated nodes, ``nodes`` says on how many, and steps may be faults of those::

    {"do": "crash", "node": 1}
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from protocol.testing.files import write
from protocol.testing.steps import (
    FAULTS,
    Body,
    Burst,
    Close,
    Connect,
    Data,
    Drop,
    Fault,
    Opening,
    Pause,
    Reference,
    Resume,
    Seed,
    Send,
    Step,
    Vanish,
    Wait,
    described,
    dumped,
    opened,
    parsed,
    shortened,
)

FORMAT: Final = "protocol.transcript/1"

VARYING: Final = frozenset({"epoch", "error_id", "retry_after"})
"""Members whose values differ each time a program is played, even if nothing is wrong."""

_OF_ONE_CLIENT: Final[dict[str, Callable[[int], Step]]] = {
    "close": Close,
    "drop": Drop,
    "vanish": Vanish,
    "pause": Pause,
    "resume": Resume,
}


@dataclass(frozen=True, slots=True)
class Barrier:
    """A message that has no effect and is answered in its turn: what was sent before is then handled.

    ``message`` is sent with a fresh value in its member ``id``; the answer has that value in ``ref``.
    """

    message: Body
    id: str = "id"
    ref: str = "ref"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One step, and what came until all was quiet again, by client.

    Attributes:
        received: the frames, in order.
        closed: code and reason of the server's close; 1006 where there was no close frame.
        refused: the HTTP status of a handshake that was not accepted.
        silent: clients that the server did not serve any more within the time allowed.
        crashed: what escaped from the application, where that can be seen.
    """

    step: Step
    received: Mapping[int, tuple[Data, ...]] = field(default_factory=dict)
    closed: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    silent: frozenset[int] = frozenset()
    crashed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transcript:
    """Exchanges, and what is said about them.

    ``room``: the member of a message that names a room; a replay against a server that lives on uses fresh ones, but for
    those that are ``fixed``, as there are no others of their kind.
    ``varying``: members whose values differ each time. ``nodes``: those of the simulation it was played on; 0 where
    that was none.
    """

    exchanges: tuple[Exchange, ...] = ()
    title: str = ""
    check: str | None = None
    explanation: str = ""
    barrier: Barrier | None = None
    room: str | None = None
    fixed: frozenset[str] = frozenset()
    varying: frozenset[str] = VARYING
    nodes: int = 0

    @property
    def steps(self) -> tuple[Step, ...]:
        """What the clients did."""
        return tuple(exchange.step for exchange in self.exchanges)

    def opened(self, opening: Opening) -> "Transcript":
        """The transcript in which everybody who connects says ``opening`` first, whatever they said before."""
        pairs = zip(self.exchanges, opened(self.steps, opening), strict=True)
        return replace(self, exchanges=tuple(replace(exchange, step=step) for exchange, step in pairs))

    def to_json(self) -> Body:
        """The transcript as an object for ``json.dumps``."""
        found: Body = {"format": FORMAT}
        found |= {
            name: value
            for name in ("title", "check", "explanation", "room", "nodes")
            if (value := getattr(self, name))
        }
        if self.barrier is not None:
            found["barrier"] = {
                "message": self.barrier.message,
                "id": self.barrier.id,
                "ref": self.barrier.ref,
            }
        if self.fixed:
            found["fixed"] = sorted(self.fixed)
        found["varying"] = sorted(self.varying)
        return {**found, "exchanges": [_exchange_to_json(exchange) for exchange in self.exchanges]}

    @classmethod
    def from_json(cls, value: Any) -> "Transcript":
        """The transcript in an object. Raises ``ValueError`` where it is none."""
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f"No transcript: 'format' has to be {FORMAT!r}.")
        names = ("title", "check", "explanation", "room", "nodes")
        said = {name: value[name] for name in names if name in value}
        if "barrier" in value:
            said["barrier"] = Barrier(**value["barrier"])
        said |= {name: frozenset(value[name]) for name in ("fixed", "varying") if name in value}
        return cls(tuple(_exchange_from_json(exchange) for exchange in value["exchanges"]), **said)

    def save(self, path: Path) -> None:
        """Write the transcript, one exchange a line."""
        whole = self.to_json()
        lines = [json.dumps(exchange, ensure_ascii=False) for exchange in whole.pop("exchanges")]
        head = json.dumps(whole, ensure_ascii=False, indent=1)[:-2]
        write(path, f'{head},\n "exchanges": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n")

    @classmethod
    def load(cls, path: Path) -> "Transcript":
        """Read what ``save`` wrote. Raises ``ValueError`` where it is no transcript."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))

    def __str__(self) -> str:
        return "\n".join(_lines(self.exchanges))


# Frames as JSON.


def _data_to_json(data: Data) -> Body:
    if isinstance(data, bytes):
        return {"base64": base64.b64encode(data).decode()}
    body = parsed(data)
    return {"message": body} if body is not None and dumped(body) == data else {"text": data}


def _data_from_json(value: Body) -> Data:
    if "message" in value:
        return dumped(value["message"])
    return str(value["text"]) if "text" in value else base64.b64decode(value["base64"])


def _frame_to_json(data: Data) -> Any:
    """A received object as itself, text that is none as a string, binary in an array: none is another."""
    body = parsed(data)
    if body is not None:
        return body
    return data if isinstance(data, str) else [base64.b64encode(data).decode()]


def _frame_from_json(value: Any) -> Data:
    if isinstance(value, list):
        return base64.b64decode(value[0])
    return value if isinstance(value, str) else dumped(value)


# Steps and exchanges as JSON.


def _step_to_json(step: Step) -> Body:
    match step:
        case Connect(client):
            return {
                "do": "connect",
                "client": client,
                **_given(path=step.path, node=step.node, room=step.room),
                **({} if step.opening is None else {"opening": _data_to_json(step.opening)}),
            }
        case Send():
            return {"do": "send", **_send_to_json(step)}
        case Burst(sends):
            return {"do": "burst", "sends": [_send_to_json(send) for send in sends]}
        case Wait(seconds):
            return {"do": "wait", "seconds": seconds}
        case Fault(name, node):
            return {"do": name, "node": node, **_given(by=step.by, after=step.after)}
        case Seed(seed):
            return {"do": "seed", "seed": seed}
        case _:
            return {"do": type(step).__name__.lower(), "client": step.client}


def _given(**members: Any) -> Body:
    return {name: value for name, value in members.items() if value is not None}


def _step_from_json(value: Body) -> Step:
    do = value.get("do")
    if do == "connect":
        opening = _data_from_json(value["opening"]) if "opening" in value else None
        return Connect(value["client"], value.get("path"), value.get("node"), value.get("room"), opening)
    if do == "send":
        return _send_from_json(value)
    if do == "burst":
        return Burst(tuple(map(_send_from_json, value["sends"])))
    if do == "wait":
        return Wait(value["seconds"])
    if do == "seed":
        return Seed(value["seed"])
    if do in FAULTS and "node" in value:
        return Fault(do, value["node"], value.get("by"), value.get("after"))
    if do in _OF_ONE_CLIENT:
        return _OF_ONE_CLIENT[do](value["client"])
    raise ValueError(f"No step of a transcript: 'do' is {do!r}.")


def _send_to_json(send: Send) -> Body:
    found = {"client": send.client, **_data_to_json(send.data)}
    if send.refers:
        found["refers"] = [
            {"at": list(one.at), "member": one.member, **({"back": one.back} if one.back else {})}
            for one in send.refers
        ]
    return found


def _send_from_json(value: Body) -> Send:
    refers = tuple(
        Reference(tuple(one["at"]), one["member"], one.get("back", 0)) for one in value.get("refers", ())
    )
    return Send(value["client"], _data_from_json(value), refers)


def _exchange_to_json(exchange: Exchange) -> Body:
    found = _step_to_json(exchange.step)
    if exchange.received:
        found["received"] = {
            str(client): [_frame_to_json(data) for data in frames]
            for client, frames in exchange.received.items()
        }
    for name in ("closed", "refused", "crashed"):
        if value := getattr(exchange, name):
            found[name] = {str(client): one for client, one in value.items()}
    if exchange.silent:
        found["silent"] = sorted(exchange.silent)
    return found


def _exchange_from_json(value: Body) -> Exchange:
    received = {
        int(client): tuple(_frame_from_json(frame) for frame in frames)
        for client, frames in value.get("received", {}).items()
    }
    return Exchange(
        _step_from_json(value),
        received,
        {int(client): (code, reason) for client, (code, reason) in value.get("closed", {}).items()},
        {int(client): status for client, status in value.get("refused", {}).items()},
        frozenset(value.get("silent", ())),
        {int(client): text for client, text in value.get("crashed", {}).items()},
    )


# For people.


def _lines(exchanges: Iterable[Exchange]) -> Iterator[str]:
    for number, exchange in enumerate(exchanges, 1):
        yield f"{number:>3}  {described(exchange.step)}"
        for client, frames in sorted(exchange.received.items()):
            for data in frames:
                yield f"       {client} ← {shortened(data)}"
        for client, status in sorted(exchange.refused.items()):
            yield f"       {client} is refused with {status}"
        for client, (code, reason) in sorted(exchange.closed.items()):
            yield f"       {client} is closed with {code} {reason}".rstrip()
        for client, text in sorted(exchange.crashed.items()):
            yield f"       {client}: the application raised {text}"
        for client in sorted(exchange.silent):
            yield f"       {client} gets no answer any more"
