"""The check of what is left when everybody is gone, as newcomers see it."""

from dataclasses import replace
from typing import Any, Final

from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.checks.rooms import is_part, named_room
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.run import Run
from protocol.testing.comparison import comparable
from protocol.testing.steps import Connect, Data, Pause, Send, Step, Wait, parsed, sends_of, shortened
from protocol.types import Ref

_MISSED: Final = 1.0
"""Seconds after which a server has missed who has gone."""


def _clean_room(run: Run) -> Finding | None:
    found = _ghost(run)
    steps = tuple(exchange.step for exchange in run.exchanges)
    if found is not None and run.learns(steps[run.newcomers :]):
        found = _ghost(run)
    if found is None or run.prompt or run.again is None:
        return found
    # Who has gone may not be missed yet.
    arrival = next(at for at in range(run.newcomers, len(steps)) if isinstance(steps[at], Connect))
    later = run.again((*steps[:arrival], Wait(_MISSED), *steps[arrival:]))
    later.newcomers = arrival + 1
    return None if _ghost(later) is None else found


def _ghost(run: Run) -> Finding | None:
    varying = run.contract.varying | {run.contract.offset or "offset"}
    for at in range(run.newcomers, len(run.exchanges)):
        step = run.exchanges[at].step
        if not isinstance(step, Connect | Send):
            continue
        first = next(number for number, exchange in enumerate(run.exchanges) if _is_same(exchange.step, step))
        # Who connects later may be told who is there already; only the first one saw an empty house.
        if first >= run.newcomers or (isinstance(step, Connect) and first > 0):
            continue
        client = step.client
        if any(exchange.step == Pause(client) for exchange in run.exchanges[:first]):
            continue  # It did not see what it was shown.
        if any(fault < first for fault in run.faults):
            continue  # What it saw at first was not all.
        if not run.prompt and _asked(run, step) is None and _others(run, client, first):
            continue  # What came with it may be what was late of theirs.
        before, after = (_shown(run, number, step) for number in (first, at))
        if any(run.contract.is_for_later(parsed(data)) for data in (*before, *after)):
            continue
        if [comparable(data, varying) for data in before] != [comparable(data, varying) for data in after]:
            saw = shortened(after[0]) if after else "nothing"
            return Finding(
                at, f"Everybody had left, and {client} does not see what it saw at first, but {saw}"
            )
    return None


def _is_same(one: Step, other: Step) -> bool:
    """Whether two steps do the same; the token that opens a connection may be a fresh one each time."""
    if isinstance(one, Connect) and isinstance(other, Connect):
        return one == replace(other, opening=one.opening)
    return one == other


def _shown(run: Run, at: int, step: Connect | Send) -> list[Data]:
    """What a step brought to its client: the answer, where that can be told from what comes at the same time."""
    frames = run.exchanges[at].received.get(step.client, ())
    id = _asked(run, step)
    return [data for data in frames if id is None or run.contract.answered(parsed(data)) == id]


def _asked(run: Run, step: Connect | Send) -> Ref | None:
    return run.contract.asked(parsed(step.data)) if isinstance(step, Send) else None


def _others(run: Run, client: int, end: int) -> bool:
    """Whether others have done something before the exchange ``end``."""
    return any(
        isinstance(step, Connect) and step.client != client
        for step in (exchange.step for exchange in run.exchanges[:end])
    )


def visits(contract: Contract, steps: tuple[Any, ...]) -> list[tuple[Connect | Send, ...]]:
    """What a newcomer does to see whether all is as in the beginning: what the first one did, again.

    The first connection, and the first join of each room, as long as nothing but joins came before it. Each step is
    an object of its own, by which newcomers are told from those who did the same before.
    """
    found: list[tuple[Connect | Send, ...]] = []
    rules = contract.room
    if steps and isinstance(steps[0], Connect):
        found.append((replace(steps[0]),))
    if rules is None:
        return found
    rooms: set[str] = set()
    paths: set[str] = set()
    openings: dict[int, Data | None] = {}
    for step in steps:
        if isinstance(step, Connect):
            paths.update(contract.parameters(step).values())
            openings.setdefault(step.client, step.opening)
            continue
        for send in sends_of(step):
            if contract.objection(send.data) is not None:
                continue
            sent = Run(contract, (), newcomers=0)._sent(0, send.data)
            room = named_room(rules, sent)
            if sent.tag not in rules.joins or room is None or not isinstance(step, Send):
                return found
            if any(is_part(value, room) for value in paths):
                return found  # Its path has let somebody in already.
            if room not in rooms and len(rooms) < 2:
                rooms.add(room)
                arrival = Connect(send.client, opening=openings[send.client])
                found.append((arrival, replace(send, refers=())))
    return found


clean_room = Check(
    "clean_room",
    "Who comes after everybody has left sees what the first one saw: nobody stays behind as a ghost.",
    _clean_room,
)
