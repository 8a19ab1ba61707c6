"""Checks of the server's state: that messages at once are as good as one after the other, and that nothing piles up."""

import json
from collections import Counter
from itertools import permutations, takewhile
from typing import Any, Final

from protocol.fuzzing.arena import Arena, LocalArena
from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.run import Run
from protocol.testing.comparison import comparable
from protocol.testing.steps import Burst, Close, Drop, Pause, Send, Step, Wait, sends_of

_RACERS: Final = 3
"""The most messages at once of which every order is tried."""

_ATTEMPTS: Final = 3
"""How often each order is tried where time is real."""

_LATE: Final = 0.25
"""Seconds within which a server that broadcasts by way of a queue has said all."""


def _serialisability(run: Run) -> Finding | None:
    steps = tuple(exchange.step for exchange in run.exchanges[: run.newcomers])
    races = [at for at, step in enumerate(steps) if _is_race(step)]
    # Who does not read, or has gone and is not missed yet, makes what comes a matter of time.
    confusing = Pause if run.prompt else (Pause, Close, Drop)
    if not races or run.again is None or any(isinstance(step, confusing) for step in steps):
        return None
    if run.nodes:
        return (
            None  # Behind a network two who leave at once hear nothing of each other, in no order of theirs.
        )
    if any(run.contract.is_for_later(frame.body) for talk in run.talks for frame in talk.received):
        return None
    if any(
        sent.id is None and sent.tag in run.contract.unordered for talk in run.talks for sent in talk.sent
    ):
        return None  # Nothing tells when it is done, and a barrier does not wait for it.
    if len(races) > 1 and _in_order_of_arrival(run, steps, races[0]):
        return None
    return next((found for at in races if (found := _race(run, steps, at)) is not None), None)


def _in_order_of_arrival(run: Run, steps: tuple[Step, ...], first: int) -> bool:
    """Whether all that was sent at once is as good as one after the other as it was sent: mostly, and soon seen."""
    whole = (*steps[: first + 1], *takewhile(lambda step: not _refers(step), steps[first + 1 :]))
    program = tuple(one for step in whole for one in (sends_of(step) if _is_race(step) else (step,)))
    return len(whole) == len(steps) and _is_one_of(run, len(whole), [program])


def _race(run: Run, steps: tuple[Step, ...], at: int) -> Finding | None:
    before, race, rest = steps[:at], steps[at], steps[at + 1 :]
    # Another race may end in another way, and what refers to what came of one be another message, in each order.
    after = tuple(takewhile(lambda step: not _is_shared(step) and not _refers(step), rest))
    end = at + 1 + len(after)
    orders = [(*before, *sends, *after) for sends in _orders(sends_of(race))]
    if _is_one_of(run, end, orders) or (run.learns(orders[0]) and _is_one_of(run, end, orders)):
        return None
    if not _is_one_of(run, end, [(*before, race, *after)]):
        return None  # The server throws dice, or time does: that is not for this check.
    if not run.prompt and _is_only_late(run, before, race, after):
        return None
    return Finding(at, "What came of the messages at once is none of what comes of them one after the other.")


def _is_one_of(run: Run, end: int, programs: list[tuple[Step, ...]]) -> bool:
    """Whether what came before ``end`` comes of one of ``programs``."""
    assert run.again is not None
    happened = outcome(run, run, end)
    # What comes late may be missed, so that once proves nothing.
    attempts = 1 if run.prompt else _ATTEMPTS
    return any(outcome(run, run.again(program)) == happened for _ in range(attempts) for program in programs)


def _is_only_late(run: Run, before: tuple[Step, ...], race: Step, after: tuple[Step, ...]) -> bool:
    """Whether it is as good as one after the other where there is time for what comes late."""
    again, pause = run.again, Wait(_LATE)
    assert again is not None

    def of(*sends: Step) -> dict[str, Any]:
        return outcome(run, again((*before, pause, *sends, pause, *after, pause)))

    expected = [of(*sends) for sends in _orders(sends_of(race))]
    return all(of(race) in expected for _ in range(_ATTEMPTS))


def _is_race(step: Step) -> bool:
    """Whether several clients say something at once that is the same in every order."""
    return _is_shared(step) and len(sends_of(step)) <= _RACERS and not _refers(step)


def _is_shared(step: Step) -> bool:
    """Whether several clients say something at once."""
    return isinstance(step, Burst) and len({send.client for send in step.sends}) > 1


def _refers(step: Step) -> bool:
    return any(send.refers for send in sends_of(step))


def _orders(sends: tuple[Send, ...]) -> dict[tuple[Send, ...], None]:
    """The orders in which a server may take them: those of one client as they were sent."""
    found: dict[tuple[Send, ...], None] = {}
    for order in permutations(range(len(sends))):
        own: dict[int, list[int]] = {}
        for number in order:
            own.setdefault(sends[number].client, []).append(number)
        if all(numbers == sorted(numbers) for numbers in own.values()):
            found[tuple(sends[number] for number in order)] = None
    return found


def outcome(run: Run, played: Run, end: int | None = None) -> dict[str, Any]:
    """All that each client got, in any order: what arrives between two answers depends on the moment.

    ``end``: before which exchange; by default, before newcomers come.
    """
    frames: dict[int, Counter[str]] = {}
    ends: dict[int, list[int]] = {}
    varying = run.contract.varying
    for exchange in played.exchanges[: played.newcomers if end is None else end]:
        for client, received in exchange.received.items():
            found = frames.setdefault(client, Counter())
            found.update(
                json.dumps(comparable(data, varying), sort_keys=True, default=repr) for data in received
            )
        for client, (code, _) in exchange.closed.items():
            ends.setdefault(client, []).append(code)
    return {"frames": frames, "ends": ends}


def _lacks_one_node(contract: Contract, arena: Arena) -> str:
    return "a single node (without --nodes, or nodes=)" if arena.nodes else ""


def _lacks_memory(contract: Contract, arena: Arena) -> str:
    return (
        "" if isinstance(arena, LocalArena) else "a single application in this process, whose memory is seen"
    )


def _no_growth(run: Run) -> Finding | None:
    for name, sizes in run.growth.items():
        text = f"{name} grows with each round, with nobody there: {', '.join(map(str, sizes))}."
        return Finding(len(run.exchanges) - 1, text)
    return None


serialisability = Check(
    "serialisability",
    "Messages that arrive at once have the effect that they have in one order or another: no update is lost, and "
    "nothing is decided on what is no longer so.",
    _serialisability,
    _lacks_one_node,
)
no_growth = Check(
    "no_growth",
    "When everybody is gone, the server is as large as before: no task and no entry of a table is left for each "
    "connection that has been.",
    _no_growth,
    _lacks_memory,
)
