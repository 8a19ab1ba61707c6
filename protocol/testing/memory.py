"""What clients have received, for the steps that refer to it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from protocol.testing.steps import Body, Burst, Data, Reference, Send, Step, dumped, parsed, sends_of

Value = str | int | float


class Memory:
    """The values that the references of ``steps`` may mean: strings and numbers, at any depth of a frame.

    A client forgets nothing when it goes. What it has not received itself, it knows from the others.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._names = {one.member for step in steps for send in sends_of(step) for one in send.refers}
        self._values: dict[tuple[int | None, str], dict[Value, None]] = {}

    def note(self, received: Mapping[int, Sequence[Data]]) -> None:
        """Remember what has come, by client."""
        if self._names:
            for client, frames in received.items():
                for data in frames:
                    self._look(client, parsed(data), None)

    def resolved(self, step: Step) -> Step:
        """The step with what it refers to, and without references where that has not come."""
        match step:
            case Send(refers=refers) if refers:
                return self._sent(step)
            case Burst(sends) if any(send.refers for send in sends):
                return Burst(tuple(self._sent(send) for send in sends))
        return step

    def _sent(self, send: Send) -> Send:
        body = parsed(send.data)
        values = [self._known(send.client, reference) for reference in send.refers]
        if body is None or not all(values):
            return replace(send, refers=())
        for reference, known in zip(send.refers, values, strict=True):
            body = _placed(body, reference.at, known[max(0, len(known) - 1 - reference.back)])
        return replace(send, data=dumped(body)) if send.refers else send

    def _known(self, client: int, reference: Reference) -> list[Value]:
        """The values under a name, the last one last."""
        own = self._values.get((client, reference.member))
        return list(own or self._values.get((None, reference.member), {}))

    def _look(self, client: int, value: Any, name: str | None) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                self._look(client, item, key)
        elif isinstance(value, list):
            for item in value:
                self._look(client, item, name)
        elif name in self._names and isinstance(value, Value) and not isinstance(value, bool):
            for whose in (client, None):
                values = self._values.setdefault((whose, name), {})
                values.pop(value, None)
                values[value] = None


def _placed(body: Body, at: tuple[str, ...], value: Value) -> Body:
    """``body`` with ``value`` where ``at`` leads, through objects that are made where there are none."""
    name, *rest = at
    if not rest:
        return {**body, name: value}
    inner = body.get(name)
    return {**body, name: _placed(inner if isinstance(inner, dict) else {}, tuple(rest), value)}
