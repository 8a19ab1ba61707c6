"""The strategy for programs: what several clients do, as a flat list of steps.

Nothing in a program depends on what the server answers, but for the values that a message refers to, so it shrinks as
a list does and can be played anywhere. A program is made of moves that are common among clients
(:mod:`protocol.fuzzing.moves`); a move becomes one step or several, and a client that is not there yet connects first.
"""

from collections.abc import Iterable
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.fuzzing.contract import Contract
from protocol.fuzzing.faults import seeds
from protocol.fuzzing.moves import Move, Moves, Together
from protocol.fuzzing.overrides import Override
from protocol.fuzzing.sayings import Saying, Sayings
from protocol.testing.steps import Burst, Close, Connect, Drop, Fault, Pause, Resume, Send, Step, Vanish

Program = tuple[Step, ...]

MOVES: Final = 8
"""The most moves of a program. Longer ones find no more, and are slower."""


def programs(
    contract: Contract,
    *,
    clients: int = 3,
    moves: int = MOVES,
    overrides: dict[Any, Override] | None = None,
    steps: Iterable[str] = (),
    nodes: int = 0,
) -> SearchStrategy[Program]:
    """Programs of ``clients`` clients for a server that keeps ``contract``.

    ``steps``: which moves there are, of ``MOVE_NAMES`` and, where several ``nodes`` are simulated, ``FAULT_NAMES``;
    all, unless some are named.
    """
    names = frozenset(steps)
    sayings = Sayings(contract, st.integers(0, clients - 1), overrides)
    made = Moves(contract, clients, sayings, overrides)
    openings = made.openings(names)
    first = st.lists(st.one_of(openings), max_size=1) if openings else st.just([])
    rest = st.lists(made.any(names, nodes), min_size=1, max_size=moves)
    seed: SearchStrategy[Any] = seeds() if nodes else st.just(())
    return st.builds(lambda seed, one, more: _assembled(sayings, [*seed, *one, *more]), seed, first, rest)


def _assembled(sayings: Sayings, moves: list[Move]) -> Program:
    numbers = iter(range(1, 1_000))
    steps: list[Step] = []
    for move in moves:
        match move:
            case Saying():
                steps.append(sayings.send(move, numbers))
            case Together(said):
                steps.append(Burst(tuple(sayings.send(one, numbers) for one in said)))
            case tuple():
                steps += [sayings.send(one, numbers) if isinstance(one, Saying) else one for one in move]
            case _:
                steps.append(move)
    return connected(steps)


def connected(steps: Iterable[Step]) -> Program:
    """``steps`` with a ``Connect`` before what a client does that is not there, and without what has no effect."""
    found: list[Step] = []
    there: set[int] = set()
    lost: set[int] = set()
    paused: set[int] = set()
    for step in steps:
        match step:
            case Connect(client):
                if client in there - lost:
                    continue
                there.add(client)
                lost.discard(client)
            case Send() | Burst():
                sends = (step,) if isinstance(step, Send) else step.sends
                for client in dict.fromkeys(send.client for send in sends):
                    if client not in there or client in lost:
                        there.add(client)
                        lost.discard(client)
                        found.append(Connect(client))
            case Fault("crash"):
                # Who was on that node is not there any more; to connect who still is does nothing.
                lost |= there
            case Close(client) | Drop(client) | Vanish(client):
                if client not in there:
                    continue
                there.discard(client)
                paused.discard(client)
            case Pause(client):
                if client not in there or client in paused:
                    continue
                paused.add(client)
            case Resume(client):
                if client not in paused:
                    continue
                paused.discard(client)
        found.append(step)
    return tuple(found)
