"""A whole run of the fuzzer from the command line: phases, limits of time and number, and what was found.

After a failure the campaign goes on without the check that failed, so that one bug does not hide the others.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Final

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks import Check, applicable
from protocol.fuzzing.coverage import boundaries, examples
from protocol.fuzzing.fuzzer import INTERRUPTED, Coverage, Failure, Fuzzer
from protocol.fuzzing.jobs import Batch, Jobs

PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")
_BATCH: Final = 100
"""Programs of one seed, after which it is told how far the campaign is."""


@dataclass(slots=True)
class Report:
    """What a campaign has done and found.

    Attributes:
        lacking: what those of the checks lack that could find nothing, by their codes.
        ended: why it could not be played to its end.
    """

    target: str
    seed: int
    checks: tuple[Check, ...]
    coverage: Coverage
    failures: list[Failure] = field(default_factory=list)
    lacking: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    phase: str = ""
    ended: str = ""


@dataclass(slots=True, kw_only=True)
class Campaign:
    """What is to be done: at most ``max_examples`` programs, or as many as fit into ``max_time`` seconds.

    ``jobs`` play the random ones, several at once; without them all is played in ``arena``.
    """

    arena: Arena
    checks: tuple[Check, ...]
    target: str
    seed: int
    clients: int = 3
    max_examples: int = 1000
    max_time: float | None = None
    phases: Collection[str] = PHASES
    jobs: Jobs | None = None

    def run(self, progress: Callable[[Report], None] = lambda report: None) -> Report:
        """Run it, once; ``progress`` is told now and then. Who interrupts it gets what was found until then.

        Raises ``ConfigurationError`` if there was nothing to play, the server has served no client, or no check could
        find anything.
        """
        try:
            report = self._run(progress)
        finally:
            self.arena.close()
            if self.jobs is not None:
                with suppress(KeyboardInterrupt):
                    self.jobs.close()
        if not report.failures:
            if not report.coverage.programs and not report.ended and self.max_time is None:
                raise ConfigurationError(
                    f"Nothing was fuzzed: the document has nothing to play in the phases {', '.join(self.phases)}."
                )
            report.coverage.require_entry()
        return report

    def _run(self, progress: Callable[[Report], None]) -> Report:
        started = time.monotonic()
        deadline = inf if self.max_time is None else started + self.max_time
        checks, lacking = applicable(self.checks, self.arena)
        fuzzer = Fuzzer(self.arena, checks, deadline=deadline)
        report = Report(self.target, self.seed, self.checks, fuzzer.coverage, lacking=lacking)
        try:
            self._explore(fuzzer, report, progress)
        except KeyboardInterrupt:
            report.ended = INTERRUPTED
            failure = fuzzer.known(report.ended)
            if failure is not None and failure.check in fuzzer.checks:
                report.failures.append(failure)
            # Who does not want to wait for the jobs gets what is known without them.
            with suppress(KeyboardInterrupt):
                self._stop(fuzzer, report)
        report.seconds = time.monotonic() - started
        return report

    def _stop(self, fuzzer: Fuzzer, report: Report) -> None:
        """Let the jobs end, and count what they have seen."""
        if self.jobs is None:
            return
        for coverage, failure in self.jobs.stop():
            fuzzer.coverage.add(coverage)
            if failure is not None and failure.check not in {known.check for known in report.failures}:
                report.failures.append(failure)

    def _explore(self, fuzzer: Fuzzer, report: Report, progress: Callable[[Report], None]) -> None:
        for phase, attempts in self._phases(fuzzer):
            report.phase = phase
            for failure in attempts:
                if failure is not None:
                    report.failures.append(failure)
                    fuzzer.checks = tuple(check for check in fuzzer.checks if check != failure.check)
                progress(report)
                if fuzzer.gone or fuzzer.coverage.ignored:
                    report.ended = fuzzer.over
                if fuzzer.over or not fuzzer.checks or fuzzer.coverage.programs >= self.max_examples:
                    return

    def _phases(self, fuzzer: Fuzzer) -> Iterator[tuple[str, Iterable[Failure | None]]]:
        contract = self.arena.contract
        if "examples" in self.phases:
            yield "examples", map(fuzzer.check, examples(contract))
        if "coverage" in self.phases:
            yield "coverage", map(fuzzer.check, boundaries(contract))
        if "fuzzing" in self.phases:
            yield "fuzzing", self._batches(fuzzer, self.max_examples // 5, 1, ("say", "broken"))
        if "stateful" in self.phases:
            yield "stateful", self._batches(fuzzer, self.max_examples, self.clients, self.arena.moves)

    def _batches(
        self, fuzzer: Fuzzer, most: int, clients: int, moves: tuple[str, ...]
    ) -> Iterator[Failure | None]:
        most = min(most, self.max_examples - fuzzer.coverage.programs)
        batches = (
            Batch(self.seed + number, min(_BATCH, most - number), clients, moves)
            for number in range(0, most, _BATCH)
        )
        if self.jobs is None:
            for batch in batches:
                yield batch.explore(fuzzer)
            return
        for coverage, failure in self.jobs.explore(batches, lambda: fuzzer.checks, fuzzer.deadline):
            fuzzer.coverage.add(coverage)
            # Another job may have found it, too.
            yield failure if failure is not None and failure.check in fuzzer.checks else None
