"""Batches of programs, and processes that play several of them at once."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from math import inf
from multiprocessing import get_context
from multiprocessing.synchronize import Event
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
        self._stopped = context.Event()
        begin = (make_arena, context.Value("i", 0), self._stopped)
        self._pool = ProcessPoolExecutor(count, context, _begin, begin)
        self._running: set[Future[tuple[Coverage, Failure | None]]] = set()

    def explore(
        self, batches: Iterable[Batch], checks: Callable[[], tuple[Check, ...]], deadline: float = inf
    ) -> Iterator[tuple[Coverage, Failure | None]]:
        """What came of each batch, as soon as it is over; ``checks`` are those that it is held to when it begins."""
        batches = iter(batches)
        while True:
            for batch in islice(batches, self._count - len(self._running)):
                self._running.add(self._pool.submit(_explore, batch, checks(), deadline))
            if not self._running:
                return
            yield from self._done(FIRST_COMPLETED)

    def stop(self) -> Iterator[tuple[Coverage, Failure | None]]:
        """End the batches that are played, each behind the program that it is at; and what came of them."""
        self._stopped.set()
        yield from self._done(ALL_COMPLETED)

    def close(self) -> None:
        """End the processes, and what they play."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def _done(self, when: str) -> Iterator[tuple[Coverage, Failure | None]]:
        for future in wait(self._running, return_when=when).done:
            self._running.remove(future)
            yield future.result()


_arena: list[Arena] = []
"""The one of this process."""


_stopped: list[Event] = []
"""Says to this process that what it plays is to end."""


def _begin(make_arena: Callable[[int], Arena], begun: Any, stopped: Event) -> None:
    with begun.get_lock():
        begun.value += 1
        number = begun.value
    # Who interrupts the fuzzer interrupts all of its processes, and only the first one has something to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stopped.append(stopped)
    _arena.append(make_arena(number))


def _explore(batch: Batch, checks: tuple[Check, ...], deadline: float) -> tuple[Coverage, Failure | None]:
    fuzzer = Fuzzer(_arena[0], checks, deadline=deadline, stopped=_stopped[0].is_set)
    failure = batch.explore(fuzzer)
    return fuzzer.coverage, failure
