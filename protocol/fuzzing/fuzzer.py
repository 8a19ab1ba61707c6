"""The fuzzer: programs from the strategy, each played and held to the checks, and what fails made small.

Hypothesis generates and shrinks. After that steps are dropped as long as the same check fails: hypothesis does not
know that a client which is never used again need not have come.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given
from hypothesis import seed as seeded
from hypothesis import settings as Settings  # noqa: N812 it is a class
from hypothesis.errors import Flaky
from hypothesis.strategies import SearchStrategy

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.arena import Arena, fixed_rooms
from protocol.fuzzing.checks import Check, CheckFailed, Finding, failure_of, visits
from protocol.fuzzing.program import Program, connected
from protocol.fuzzing.run import Run
from protocol.testing.steps import Burst, Close, Connect, Drop, Step, Vanish, sends_of
from protocol.testing.transcript import Transcript

# To explain which values matter takes hypothesis as long as to find the failure, and the transcript shows it.
_PHASES: Final = (Phase.reuse, Phase.generate, Phase.shrink)


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed, and the shortest program found for it. ``remark``: why it may not be the shortest."""

    check: Check
    finding: Finding
    program: Program
    transcript: Transcript
    remark: str = ""

    def __str__(self) -> str:
        remark = f" ({self.remark} This may not be the shortest program.)" if self.remark else ""
        return f"{self.check.code}: {self.finding.detail}{remark}\n\n{self.transcript}\n\n{self.check.explanation}"


_IGNORED: Final = "not answered"
INTERRUPTED: Final = "Interrupted."


@dataclass(slots=True)
class Coverage:
    """How often each type of message had which outcome.

    ``served``: the connections that got further than their first message. ``turned_away``: how the others were.
    """

    outcomes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    programs: int = 0
    served: int = 0
    turned_away: Counter[str] = field(default_factory=Counter)

    def note(self, run: Run) -> None:
        """Count what became of the connections and messages of ``run``."""
        self.programs += 1
        for exchange in run.exchanges:
            self.turned_away.update(f"refused with {status}" for status in exchange.refused.values())
            if isinstance(exchange.step, Connect) and exchange.step.client in exchange.silent:
                self.turned_away[_IGNORED] += 1
        for talk in run.talks:
            if talk.closed is not None and talk.last <= (talk.sent[0].at if talk.sent else talk.first):
                self.turned_away[f"closed with {talk.closed[0]}"] += 1
            else:
                self.served += 1
            answers = {
                (type(frame.ref), frame.ref): frame for frame in talk.received if frame.ref is not None
            }
            for sent in talk.sent:
                tag = sent.tag or "(broken)"
                frame = None if sent.id is None else answers.get((type(sent.id), sent.id))
                if frame is None:
                    self.outcomes[tag]["not asked" if sent.id is None else "no answer"] += 1
                else:
                    code = (frame.body or {}).get("code") if frame.tag == run.contract.error else None
                    self.outcomes[tag][str(code or frame.tag or "undeclared")] += 1

    @property
    def ignored(self) -> bool:
        """Whether all connections were accepted, and then nobody was answered."""
        return not self.served and self.turned_away.keys() == {_IGNORED}

    def add(self, other: "Coverage") -> None:
        """Count what another fuzzer has seen."""
        self.programs += other.programs
        self.served += other.served
        self.turned_away += other.turned_away
        for tag, outcomes in other.outcomes.items():
            self.outcomes[tag] += outcomes

    def require_entry(self) -> None:
        """Raise ``ConfigurationError`` if nobody ever got in: checks that pass on nothing say nothing."""
        if self.turned_away and not self.served:
            ((how, _),) = self.turned_away.most_common(1)
            raise ConfigurationError(
                f"Nothing was fuzzed: none of {self.turned_away.total()} connections was served, most were {how}. Say "
                "who the clients are, by --token or --login, or by login= of fuzz_test; what they send first, if the "
                "server waits for that, by --opening or opening=; and see that the path is the one that is served."
            )


class _Over(BaseException):
    """No more can be played. Hypothesis lets pass what is no ``Exception``."""


class Fuzzer:
    """Plays programs in an arena and holds them to ``checks``.

    Attributes:
        deadline: when to end, by the monotonic clock.
        stopped: whether somebody wants it to end before.
        coverage: what has been seen.
        failures: the smallest program of each check that has failed, as far as it is known.
        gone: the server has ended.
    """

    def __init__(
        self,
        arena: Arena,
        checks: Iterable[Check],
        *,
        deadline: float = inf,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.arena = arena
        self.checks = tuple(checks)
        self.coverage = Coverage()
        self.failures: dict[str, tuple[Finding, Program, Run]] = {}
        self.gone = False
        self.deadline = deadline
        self.stopped = stopped
        self._focus: Check | None = None
        # By the check that was looked at, or all. A hash is enough: a program may have frames of 64 KiB.
        self._passed: set[tuple[Check | None, int]] = set()

    def run(self, program: Program) -> None:
        """Play a program, unless it has passed already. Raises ``CheckFailed``.

        Once a check has failed, only that one is looked at: what follows is hypothesis making the program smaller.
        """
        # Steps of two kinds with the same values, such as Drop(0) and Close(0), have the same hash.
        known = (self._focus, hash(tuple((type(step), step) for step in program)))
        if known in self._passed:
            return
        if self.over:
            raise _Over
        run, found = self.play(program, self._focus)
        if self._focus is None:
            self.coverage.note(run)
        elif run.is_last:
            raise _Over  # that it fails without a server shows nothing
        if found is None:
            if run.is_last:
                raise _Over
            self._passed.add(known)
            return
        self._focus, finding = found
        self.failures[self._focus.code] = (finding, program, run)
        ended = run.is_last or self.coverage.ignored
        raise _Over if ended else failure_of(self._focus.code)(finding.detail)

    def check(self, program: Program) -> Failure | None:
        """Run one program, and make it small if a check fails."""
        self._focus = None
        try:
            self.run(program)
        except CheckFailed:
            assert self._focus is not None
            return self.smallest(self._focus.code)
        except _Over:
            return self.known(self.over)
        return None

    def known(self, remark: str) -> Failure | None:
        """The failure that was being made smaller, as it is."""
        if self._focus is None:
            return None
        finding, program, run = self.failures[self._focus.code]
        return Failure(self._focus, finding, program, self._transcript(self._focus, finding, run), remark)

    @property
    def over(self) -> str:
        """Why no more can be played, if it is so."""
        if self.gone:
            return "The server has ended."
        if self.coverage.ignored:
            return "Nobody was answered."
        if self.stopped():
            return INTERRUPTED
        return "The time was up." if time.monotonic() >= self.deadline else ""

    def play(self, program: Program, only: Check | None = None) -> tuple[Run, tuple[Check, Finding] | None]:
        """Play a program, and return what happened and the first check that fails."""
        steps, newcomers = with_newcomers(self.arena, program)
        run = self.arena.play(steps, newcomers)
        self.gone |= run.is_last
        for check in self.checks if only is None else (only,):
            finding = check.find(run)
            if finding is not None:
                return run, (check, finding)
        return run, None

    def explore(
        self, strategy: SearchStrategy[Program], *, seed: int | None = None, target: str = "", **options: Any
    ) -> Failure | None:
        """Run programs of ``strategy`` until a check fails; ``options`` are those of hypothesis' settings.

        With a ``seed`` they are always the same. Hypothesis remembers what failed by the name ``target``.
        """
        self._focus = None

        @Settings(
            deadline=None,
            phases=_PHASES,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            **options,
        )
        @given(strategy)
        def explore(program: Program) -> None:
            self.run(program)

        # The key of its database is this function, which is the same for every target.
        explore.hypothesis.inner_test._hypothesis_internal_add_digest = target.encode()  # type: ignore[attr-defined]
        try:
            (explore if seed is None else seeded(seed)(explore))()
        except CheckFailed:
            assert self._focus is not None
            return self.smallest(self._focus.code)
        except Flaky:
            # What fails only now and then is a failure too, which cannot be made smaller.
            return self.known("It fails now and then only.")
        except _Over:
            return self.known(self.over)
        return None

    def smallest(self, code: str) -> Failure:
        """The failure of a check, with every step dropped that it does not need."""
        finding, program, run = self.failures[code]
        check = next(check for check in self.checks if check.code == code)
        candidates = iter(shorter(program))
        while not self.over and (candidate := next(candidates, None)) is not None:
            found, failed = self.play(candidate, check)
            if failed is not None and not found.is_last:
                program, run, finding = candidate, found, failed[1]
                candidates = iter(shorter(program))
        if finding.at >= run.newcomers and not self.over:
            run, finding = self._one_visit(check, finding, run)
        return Failure(check, finding, program, self._transcript(check, finding, run), self.over)

    def _one_visit(self, check: Check, finding: Finding, run: Run) -> tuple[Run, Finding]:
        """Only the newcomer that saw what is wrong, if that is enough."""
        steps = tuple(exchange.step for exchange in run.exchanges)
        start = max(
            (at for at in range(run.newcomers, finding.at + 1) if isinstance(steps[at], Connect)),
            default=finding.at,
        )
        leaving = tuple(takewhile(lambda step: not isinstance(step, Connect), steps[run.newcomers :]))
        found = self.arena.play(
            (*steps[: run.newcomers], *leaving, *steps[start : finding.at + 1]), run.newcomers
        )
        again = check.find(found)
        return (run, finding) if again is None else (found, again)

    def _transcript(self, check: Check, finding: Finding, run: Run) -> Transcript:
        contract = self.arena.contract
        end = run.newcomers if finding.at < run.newcomers else finding.at + 1
        sends = (send for exchange in run.exchanges[:end] for send in sends_of(exchange.step))
        referred = {reference.member for send in sends for reference in send.refers}
        return Transcript(
            run.exchanges[:end],
            title=finding.detail,
            check=check.code,
            explanation=check.explanation,
            barrier=contract.barrier,
            room=None if contract.room is None else contract.room.member,
            fixed=fixed_rooms(contract, [exchange.step for exchange in run.exchanges[:end]]),
            varying=frozenset(contract.varying | referred),
            nodes=self.arena.nodes,
        )


def shorter(program: Program) -> Iterator[Program]:
    """``program`` without each of its steps, the last ones first, and with less at once."""
    for index in reversed(range(len(program))):
        before, after = program[:index], program[index + 1 :]
        found = connected((*before, *after))
        if len(found) < len(program):
            yield found
        if isinstance(step := program[index], Burst):
            for number in range(len(step.sends)):
                sends = step.sends[:number] + step.sends[number + 1 :]
                rest = sends[0] if len(sends) == 1 else Burst(sends)
                yield (*before, rest, *after)


def with_newcomers(arena: Arena, program: Program) -> tuple[tuple[Step, ...], int]:
    """``program``, then everybody leaves, and newcomers look; with the number of the first step of that."""
    there: dict[int, None] = {}
    for step in program:
        if isinstance(step, Connect):
            there[step.client] = None
        elif isinstance(step, Close | Drop | Vanish):
            there.pop(step.client, None)
    steps: list[Step] = [*program, *(Close(client) for client in there), *arena.aftermath(program)]
    found = visits(arena.contract, program)
    for visit in found:
        begun = any(visit == other[: len(visit)] for other in found if other is not visit)
        if not begun:  # who does the same and more sees it too
            steps += [*visit, Close(visit[0].client)]
    return tuple(steps), len(program)
