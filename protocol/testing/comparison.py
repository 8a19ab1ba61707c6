"""Whether two transcripts say the same: what differs each time even if nothing is wrong is left out."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from operator import itemgetter
from typing import Any, Final

from protocol.testing.steps import Data, Step, described, parsed, shortened
from protocol.testing.transcript import Exchange, Transcript

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def masked(value: Any, varying: Collection[str], *, hidden: bool = False) -> Any:
    """``value`` with a placeholder for times, UUIDs, and what members in ``varying`` hold.

    What is there stays to be seen, and how much of it. ``hidden``: the value belongs to such a member.
    """
    if isinstance(value, dict):
        return {name: masked(item, varying, hidden=hidden or name in varying) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, varying, hidden=hidden) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if hidden:
        return "<varying>"
    if isinstance(value, str) and _TIME.fullmatch(value):
        return "<time>"
    return "<uuid>" if isinstance(value, str) and _UUID.fullmatch(value) else value


def comparable(data: Data, varying: Collection[str]) -> Any:
    """What two frames have in common that mean the same."""
    body = parsed(data)
    return data if body is None else masked(body, varying)


def first_difference(expected: Transcript, found: Transcript) -> str | None:
    """Where ``found`` is another than ``expected``: the step, what was to come and what came.

    Without a barrier nothing says to which step a frame belongs, where steps overlap: then each client has to get
    the same in the same order, some steps earlier or later.
    """
    pairs = list(zip(enumerate(expected.exchanges, 1), enumerate(found.exchanges, 1), strict=False))
    spans = [pairs] if expected.barrier is None else [[pair] for pair in pairs]
    for span in spans:
        one, other = (_happened([pair[side] for pair in span], expected.varying) for side in (0, 1))
        differences = [
            difference
            for client in sorted(one.keys() | other.keys())
            if (difference := _differing(client, one.get(client, []), other.get(client, []))) is not None
        ]
        if differences:
            return min(differences, key=itemgetter(0))[1]
    if len(expected.exchanges) != len(found.exchanges):
        return f"{len(expected.exchanges)} steps were to be played, and {len(found.exchanges)} could be."
    return None


@dataclass(frozen=True, slots=True)
class _Event:
    """What came to a client, and in which step.

    ``means`` is what is compared; ``told`` is it for people, and ``instead`` what there is where it does not come.
    """

    number: int
    step: Step
    means: Any
    told: str
    instead: str


def _happened(exchanges: Iterable[tuple[int, Exchange]], varying: Collection[str]) -> dict[int, list[_Event]]:
    """What came to each client, in order."""
    found: dict[int, list[_Event]] = {}
    for number, exchange in exchanges:
        came = [
            *(
                (client, ("frame", comparable(data, varying)), shortened(data), "nothing")
                for client, frames in exchange.received.items()
                for data in frames
            ),
            *(
                (client, ("close", code), f"a close with {code}", "an open connection")
                for client, (code, _) in exchange.closed.items()
            ),
            *(
                (client, ("refusal", status), str(status), "no refusal")
                for client, status in exchange.refused.items()
            ),
        ]
        for client, means, told, instead in came:
            found.setdefault(client, []).append(_Event(number, exchange.step, means, told, instead))
    return found


def _differing(client: int, expected: list[_Event], found: list[_Event]) -> tuple[int, str] | None:
    """The first step that brought something else to a client, and how that is told."""
    for was, now in zip_longest(expected, found):
        if was is None:
            return now.number, _difference(now.number, now.step, client, now.instead, now.told)
        if now is None or was.means != now.means:
            told = was.instead if now is None else now.told
            return was.number, _difference(was.number, was.step, client, was.told, told)
    return None


def _difference(number: int, step: Step, client: int, expected: str, found: str) -> str:
    return f"Step {number}, {described(step)}:\n  expected at {client}: {expected}\n  found at {client}:    {found}"
