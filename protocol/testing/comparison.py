"""Whether two transcripts say the same: what differs each time even if nothing is wrong is left out."""

import re
from collections.abc import Collection
from typing import Any, Final

from protocol.testing.steps import Data, Step, described, parsed, shortened
from protocol.testing.transcript import Transcript

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
    """Where ``found`` is another than ``expected``: the step, what was to come and what came."""
    for number, (one, other) in enumerate(zip(expected.exchanges, found.exchanges, strict=False), 1):
        for client in sorted(one.received.keys() | other.received.keys()):
            frames, others = one.received.get(client, ()), other.received.get(client, ())
            for index in range(max(len(frames), len(others))):
                was, now = frames[index : index + 1], others[index : index + 1]
                if [comparable(data, expected.varying) for data in was] != [
                    comparable(data, expected.varying) for data in now
                ]:
                    return _difference(
                        number,
                        one.step,
                        client,
                        *("nothing" if not d else shortened(d[0]) for d in (was, now)),
                    )
        for client in sorted(one.closed.keys() | other.closed.keys()):
            was_closed, now_closed = one.closed.get(client), other.closed.get(client)
            if (was_closed or (None,))[0] != (now_closed or (None,))[0]:
                return _difference(number, one.step, client, _end(was_closed), _end(now_closed))
        for client in sorted(one.refused.keys() | other.refused.keys()):
            if one.refused.get(client) != other.refused.get(client):
                statuses = (exchange.refused.get(client, "no refusal") for exchange in (one, other))
                return _difference(number, one.step, client, *map(str, statuses))
    if len(expected.exchanges) != len(found.exchanges):
        return f"{len(expected.exchanges)} steps were to be played, and {len(found.exchanges)} could be."
    return None


def _end(closed: tuple[int, str] | None) -> str:
    return "an open connection" if closed is None else f"a close with {closed[0]}"


def _difference(number: int, step: Step, client: int, expected: str, found: str) -> str:
    return f"Step {number}, {described(step)}:\n  expected at {client}: {expected}\n  found at {client}:    {found}"
