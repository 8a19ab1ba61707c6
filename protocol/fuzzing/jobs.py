"""Batches of programs, and processes that play several of them at once."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from math import inf
from multiprocessing import get_context
from typing import Any

from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks import Check
from protocol.fuzzing.fuzzer import Coverage, Failure, Fuzzer
from protocol.fuzzing.program import programs


@dataclass(frozen=True, slots=True)
class Batch:
    """``size`` programs of one seed, of ``clients`` clients that make ``moves``."""

    seed: int
    size: int
    clients: int
    moves: tuple[str, ...]

    def explore(self, fuzzer: Fuzzer) -> Failure | None:
        """Play them, until a check fails."""
        arena = fuzzer.arena
        strategy = programs(arena.contract, clients=self.clients, steps=self.moves, nodes=arena.nodes)
        return fuzzer.explore(strategy, seed=self.seed, database=None, max_examples=self.size)


class Jobs:
    """``count`` processes, each with the arena that ``make_arena`` makes for its number, from 1 on.

    They begin with nothing imported, so ``make_arena`` has to be a function that can be pickled.
    """

    def __init__(self, count: int, make_arena: Callable[[int], Arena]) -> None:
        context = get_context("spawn")
        self._count = count
        self._pool = ProcessPoolExecutor(count, context, _begin, (make_arena, context.Value("i", 0)))

    def explore(
        self, batches: Iterable[Batch], checks: Callable[[], tuple[Check, ...]], deadline: float = inf
    ) -> Iterator[tuple[Coverage, Failure | None]]:
        """What came of each batch, as soon as it is over; ``checks`` are those that it is held to when it begins."""
        batches = iter(batches)
        running: set[Future[tuple[Coverage, Failure | None]]] = set()
        while True:
            for batch in islice(batches, self._count - len(running)):
                running.add(self._pool.submit(_explore, batch, checks(), deadline))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def close(self) -> None:
        """End the processes, when the batches are over that they play."""
        self._pool.shutdown(cancel_futures=True)


_arena: list[Arena] = []
"""The one of this process."""


def _begin(make_arena: Callable[[int], Arena], begun: Any) -> None:
    with begun.get_lock():
        begun.value += 1
        number = begun.value
    # Who interrupts the fuzzer interrupts all of its processes, and only the first one has something to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _arena.append(make_arena(number))


def _explore(batch: Batch, checks: tuple[Check, ...], deadline: float) -> tuple[Coverage, Failure | None]:
    fuzzer = Fuzzer(_arena[0], checks, deadline=deadline)
    failure = batch.explore(fuzzer)
    return fuzzer.coverage, failure
