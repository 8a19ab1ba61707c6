"""Checks of what several nodes owe to who knows nothing of them."""

from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.checks.state import outcome
from protocol.fuzzing.run import Run
from protocol.testing.transcript import Burst, Connect, Pause, Step


def _transparency(run: Run) -> Finding | None:
    steps = tuple(exchange.step for exchange in run.exchanges[: run.newcomers])
    if run.alone is None or run.faults or not _compares(run.nodes, steps):
        return None
    if any(run.contract.is_for_later(frame.body) for talk in run.talks for frame in talk.received):
        return None
    alone = run.alone()
    if outcome(run, run) == outcome(run, alone):
        return None
    run.learns(steps)
    for at in range(run.newcomers):
        if outcome(run, run, at + 1) != outcome(run, alone, at + 1):
            return Finding(at, "With all clients on one node they get something else.")
    return None


def _compares(nodes: int, steps: tuple[Step, ...]) -> bool:
    """Whether time has no say: nobody races with another, and nobody reads late."""
    used = {step.at(nodes) for step in steps if isinstance(step, Connect)}
    races = any(isinstance(step, Burst) and len({send.client for send in step.sends}) > 1 for step in steps)
    return len(used) > 1 and not races and not any(isinstance(step, Pause) for step in steps)


transparency = Check(
    "transparency",
    "On which node a client is makes no difference: what is kept in the variables of one process, others do not see.",
    _transparency,
)
