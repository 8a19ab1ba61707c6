"""The check of what several nodes owe to clients that know nothing of them."""

from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.checks.state import outcome
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.run import Run
from protocol.testing.comparison import comparable
from protocol.testing.steps import Burst, Connect, Data, Pause, Step, shortened


def _transparency(run: Run) -> Finding | None:
    steps = tuple(exchange.step for exchange in run.exchanges[: run.newcomers])
    if run.alone is None or run.faults or not _compares(run.nodes, steps):
        return None
    if any(run.contract.is_for_later(frame.body) for talk in run.talks for frame in talk.received):
        return None
    alone = run.alone()
    if _is_same(run, alone) or (run.learns(steps) and _is_same(run, alone)):
        return None
    for at, (exchange, other) in enumerate(zip(run.exchanges, alone.exchanges, strict=False)):
        for client in sorted(exchange.received.keys() | other.received.keys()):
            here, there = (one.received.get(client, ()) for one in (exchange, other))
            for data in _beyond(run, there, here):
                return Finding(at, f"With all clients on one node, {client} gets {shortened(data)}")
            for data in _beyond(run, here, there):
                return Finding(at, f"With all clients on one node, {client} does not get {shortened(data)}")
    return Finding(run.newcomers - 1, "With all clients on one node, connections end in another way.")


def _lacks_nodes(contract: Contract, arena: Arena) -> str:
    return "" if arena.nodes > 1 else "several nodes (--nodes, or nodes=)"


def _compares(nodes: int, steps: tuple[Step, ...]) -> bool:
    """Whether time has no say: nobody races, not even with the way back of what it has said, and nobody reads late."""
    used = {step.at(nodes) for step in steps if isinstance(step, Connect)}
    return len(used) > 1 and not any(isinstance(step, Burst | Pause) for step in steps)


def _is_same(run: Run, alone: Run) -> bool:
    return outcome(run, run) == outcome(run, alone)


def _beyond(run: Run, frames: tuple[Data, ...], others: tuple[Data, ...]) -> list[Data]:
    """The frames that there are more of than among the others."""
    known = [comparable(data, run.contract.varying) for data in others]
    found = []
    for data in frames:
        if (value := comparable(data, run.contract.varying)) in known:
            known.remove(value)
        else:
            found.append(data)
    return found


transparency = Check(
    "transparency",
    "On which node a client is makes no difference: what is kept in the variables of one process, others do not see.",
    _transparency,
    _lacks_nodes,
)
