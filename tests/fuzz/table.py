"""How many programs it takes to find each planted bug, and whether its twin gives an alarm.

``python -m tests.fuzz.table [--seeds N] [--twins PROGRAMS] [--jobs N] [--results FILE] [NAME …]``: with ``--results``
each hunt is written down when it is over, and what stands there is not hunted again.
"""

import argparse
import importlib
import json
import logging
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from protocol.fuzzing.checks import CHECKS
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Failure, Fuzzer
from protocol.fuzzing.program import programs
from protocol.fuzzing.simulated import local

PLANTED = Path(__file__).parent / "planted"
NAMES = sorted(path.stem for path in PLANTED.glob("*.py") if path.stem != "__init__")
MOST = 2_000


def planted(name: str) -> ModuleType:
    """The module of a planted bug."""
    return importlib.import_module(f"tests.fuzz.planted.{name}")


def contract_of(module: ModuleType, *, bug: bool) -> Contract:
    """What a server of the corpus promises."""
    document = getattr(module, "DOCUMENT", None)
    return Contract.of(module.create_app(bug)) if document is None else Contract.of_document(document)


def fuzzer_of(module: ModuleType, *, bug: bool) -> Fuzzer:
    """The fuzzer of a server of the corpus."""
    nodes = getattr(module, "NODES", 0)
    return Fuzzer(local(lambda: module.create_app(bug), contract_of(module, bug=bug), nodes=nodes), CHECKS)


def hunt(module: ModuleType, *, bug: bool, seed: int, max_examples: int = MOST) -> tuple[Failure | None, int]:
    """Fuzz one server; what was found, and the programs that were played before it failed."""
    fuzzer = fuzzer_of(module, bug=bug)
    strategy = programs(fuzzer.arena.contract, nodes=fuzzer.arena.nodes)
    failure = fuzzer.explore(strategy, seed=seed, database=None, max_examples=max_examples)
    return failure, fuzzer.coverage.programs


@dataclass(frozen=True, slots=True)
class Quarry:
    """What is to be hunted: a bug, or its twin; and for how long."""

    name: str
    bug: bool
    seed: int
    most: int


@dataclass(frozen=True, slots=True)
class Catch:
    """What came of it: the check that failed, after how many programs, with a transcript of how many steps."""

    quarry: Quarry
    check: str | None
    programs: int
    steps: int
    seconds: float
    story: str


def caught(quarry: Quarry) -> Catch:
    """Hunt. The seconds are those of the processor."""
    logging.disable()  # What fails is what is looked for.
    started = time.process_time()
    failure, played = hunt(planted(quarry.name), bug=quarry.bug, seed=quarry.seed, max_examples=quarry.most)
    return Catch(
        quarry,
        None if failure is None else failure.check.code,
        played,
        0 if failure is None else len(failure.transcript.exchanges),
        round(time.process_time() - started, 1),
        "" if failure is None else str(failure),
    )


def catches(todo: Iterable[Quarry], jobs: int, results: Path | None) -> Iterator[Catch]:
    """Those that are written down, then those that are not yet, as they come."""
    known: dict[Quarry, Catch] = {}
    if results is not None and results.exists():
        for line in results.read_text().splitlines():
            found = json.loads(line)
            quarry = Quarry(**found.pop("quarry"))
            known[quarry] = Catch(quarry, **found)
    todo = list(todo)
    yield from (known[quarry] for quarry in todo if quarry in known)
    with ProcessPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(caught, quarry) for quarry in todo if quarry not in known]):
            catch = done.result()
            if results is not None:
                with results.open("a") as file:
                    file.write(json.dumps(asdict(catch)) + "\n")
            yield catch


def line(name: str, found: list[Catch]) -> str:
    """The row of a bug: for how many seeds it was found, and by which checks that are not meant for it."""
    right = [catch for catch in found if catch.check is not None]
    others = sorted({str(catch.check) for catch in right} - {planted(name).CHECK})
    needed = round(statistics.median(catch.programs for catch in right)) if right else "-"
    steps = max((catch.steps for catch in right), default="-")
    seconds = sum(catch.seconds for catch in found)
    return (
        f"{name:32} {planted(name).CHECK:26} {len(right):>3}/{len(found):<3} {needed:>9} {steps:>6} {seconds:>8.1f}  "
        f"{', '.join(others)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--twins", type=int, default=0, metavar="PROGRAMS")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, metavar="FILE")
    parser.add_argument("names", nargs="*", default=NAMES)
    options = parser.parse_args()
    run = partial(catches, jobs=options.jobs, results=options.results)
    bugs = [Quarry(name, True, seed, MOST) for name in options.names for seed in range(options.seeds)]
    print(f"{'bug':32} {'check':26} {'found':>7} {'programs':>9} {'steps':>6} {'seconds':>8}  also by")
    rows: dict[str, list[Catch]] = {name: [] for name in options.names}
    for catch in run(bugs) if options.seeds else ():
        row = rows[catch.quarry.name]
        row.append(catch)
        if len(row) == options.seeds:
            print(line(catch.quarry.name, row), flush=True)
    if options.twins:
        print(f"\n{'twin':32} {'alarm':26} {'programs':>9} {'seconds':>8}")
        for catch in run([Quarry(name, False, 1, options.twins) for name in options.names]):
            alarm = catch.check or "none"
            print(
                f"{catch.quarry.name:32} {alarm:26} {catch.programs:>9} {catch.seconds:>8.1f}\n{catch.story}".rstrip(),
                flush=True,
            )


if __name__ == "__main__":
    main()
