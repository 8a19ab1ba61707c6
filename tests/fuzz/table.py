"""How many programs it takes to find each planted bug: ``python -m tests.fuzz.table [--seeds N] [NAME …]``."""

import argparse
import importlib
import logging
import statistics
import time
from pathlib import Path
from types import ModuleType

from protocol.fuzzing.arena import LocalArena
from protocol.fuzzing.checks import CHECKS
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Failure, Fuzzer
from protocol.fuzzing.program import programs

PLANTED = Path(__file__).parent / "planted"
NAMES = sorted(path.stem for path in PLANTED.glob("*.py") if path.stem != "__init__")
MOST = 2_000


def planted(name: str) -> ModuleType:
    """The module of a planted bug."""
    return importlib.import_module(f"tests.fuzz.planted.{name}")


def hunt(module: ModuleType, *, bug: bool, seed: int, max_examples: int = MOST) -> tuple[Failure | None, int]:
    """Fuzz one server; what was found, and the programs that were played before it failed."""
    document = getattr(module, "DOCUMENT", None)
    contract = Contract.of(module.create_app(bug)) if document is None else Contract.of_document(document)
    fuzzer = Fuzzer(LocalArena(lambda: module.create_app(bug), contract), CHECKS)
    failure = fuzzer.explore(programs(contract), seed=seed, database=None, max_examples=max_examples)
    return failure, fuzzer.coverage.programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("names", nargs="*", default=NAMES)
    options = parser.parse_args()
    logging.disable()  # What fails is what is looked for.
    print(f"{'bug':32} {'check':26} {'found':>7} {'programs':>9} {'steps':>6} {'seconds':>8}")
    for name in options.names:
        module = planted(name)
        started = time.monotonic()
        found = [hunt(module, bug=True, seed=seed) for seed in range(options.seeds)]
        right = [
            (failure, count) for failure, count in found if failure and failure.check.code == module.CHECK
        ]
        others = {failure.check.code for failure, _ in found if failure} - {module.CHECK}
        programs_needed = round(statistics.median(count for _, count in right)) if right else "-"
        steps = max((len(failure.transcript.exchanges) for failure, _ in right), default="-")
        seconds = time.monotonic() - started
        print(
            f"{name:32} {module.CHECK:26} {len(right):>3}/{options.seeds:<3} {programs_needed:>9} {steps:>6} "
            f"{seconds:>8.1f}  {', '.join(sorted(others))}",
            flush=True,
        )


if __name__ == "__main__":
    main()
