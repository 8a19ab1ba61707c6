"""How many programs the fuzzer plays and checks in a second, and where the time goes.

Programs are those of ``fuzz_test``: three clients, as many moves as usual, all checks. Seconds are those of the
processor that this process uses; over a socket the server has a process of its own, and the clock on the wall is
shown beside. Each round has the same programs, and the best round counts: the machine does other things besides.
"""

import argparse
import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx

from protocol.fuzzing.arena import Arena, LocalArena, RemoteArena
from protocol.fuzzing.campaign import Campaign
from protocol.fuzzing.checks import CHECKS
from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Fuzzer
from protocol.fuzzing.jobs import Jobs
from protocol.fuzzing.program import programs
from protocol.fuzzing.run import Run
from protocol.testing.steps import Step
from tests.fuzz import chat, wrong_chat
from tests.process import free_port, serving

SEED = 1


class Clock:
    """Processor seconds by part; what is done within another part counts for the outer one."""

    def __init__(self) -> None:
        self.parts: defaultdict[str, float] = defaultdict(float)
        self._busy = False

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        if self._busy:
            yield
            return
        self._busy, started = True, time.process_time()
        try:
            yield
        finally:
            self._busy = False
            self.parts[part] += time.process_time() - started


class Timed:
    """An arena whose playing is timed."""

    def __init__(self, arena: Arena, clock: Clock) -> None:
        self.contract, self.moves, self.nodes = arena.contract, arena.moves, arena.nodes
        self.aftermath = arena.aftermath
        self._arena = arena
        self._clock = clock

    def play(self, steps: tuple[Step, ...], newcomers: int) -> Run:
        with self._clock.on("playing"):
            return self._arena.play(steps, newcomers)

    def close(self) -> None:
        self._arena.close()


def timed(check: Check, clock: Clock) -> Check:
    def find(run: Run) -> Finding | None:
        with clock.on("checks"):
            return check.find(run)

    return replace(check, find=find)


def measure(arena: Arena, examples: int) -> tuple[int, float, float, Clock]:
    """Programs played, processor seconds, real seconds, and the parts of the former."""
    clock = Clock()
    fuzzer = Fuzzer(Timed(arena, clock), [timed(check, clock) for check in CHECKS])
    strategy = programs(arena.contract, steps=arena.moves)
    wall, started = time.monotonic(), time.process_time()
    failure = fuzzer.explore(strategy, seed=SEED, database=None, max_examples=examples)
    seconds = time.process_time() - started
    assert failure is None, failure
    return fuzzer.coverage.programs, seconds, time.monotonic() - wall, clock


def show(name: str, arena: Arena, examples: int, rounds: int) -> None:
    found = [measure(arena, examples) for _ in range(rounds)]
    arena.close()
    played, seconds, wall, clock = min(found, key=lambda one: one[1])
    generating = seconds - sum(clock.parts.values())
    parts = (generating, clock.parts["playing"], clock.parts["checks"])
    shares = "".join(f"{part / played * 1e3:>13.2f}" for part in parts)
    print(f"{name:34}{played:>9}{played / seconds:>11.1f}{played / wall:>11.1f}{shares}", flush=True)


def chat_arena(job: int) -> LocalArena:
    return LocalArena(chat.create_app, Contract.of(chat.create_app()), login=chat.login)


def show_jobs(count: int, examples: int) -> None:
    """The reference chat again, by as many processes as there are processors, with all they need to begin."""
    started = time.monotonic()
    campaign = Campaign(
        arena=chat_arena(0),
        checks=CHECKS,
        target="chat",
        seed=SEED,
        max_examples=examples,
        phases=["stateful"],
        jobs=Jobs(count, chat_arena),
    )
    report = campaign.run()
    assert not report.failures, report.failures
    wall = time.monotonic() - started
    played = report.coverage.programs
    print(f"{f'the reference chat, --jobs {count}':34}{played:>9}{'':>11}{played / wall:>11.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable()
    print(
        f"{'':34}{'programs':>9}{'per cpu s':>11}{'per s':>11}{'generate ms':>13}{'play ms':>13}{'check ms':>13}"
    )
    small = Contract.of(wrong_chat.create_app())
    show(
        "a chat of three messages", LocalArena(wrong_chat.create_app, small), options.examples, options.rounds
    )
    whole = Contract.of(chat.create_app())
    arena = LocalArena(chat.create_app, whole, login=chat.login)
    show("the reference chat", arena, options.examples, options.rounds)
    count = os.cpu_count() or 1
    show_jobs(count, options.examples * count)
    port = free_port()
    environment = {**os.environ, "CHAT_SECRET": chat.SETTINGS.secret}
    with serving(
        ["-m", "protocol", "run", "examples.chat.app:app", "--port", str(port)], port, environment=environment
    ):
        document = httpx.get(f"http://127.0.0.1:{port}/asyncapi.json").json()
        remote = RemoteArena(f"ws://127.0.0.1:{port}/ws", Contract.of_document(document), login=chat.login)
        show("the reference chat over a socket", remote, options.examples, options.rounds)


if __name__ == "__main__":
    main()
