"""Moves of programs that no client makes: what befalls links and nodes of a simulation."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.testing.steps import Close, Connect, Drop, Fault, Seed, Step, Vanish

FAULT_NAMES: Final = ("fault", "mend", "travel", "vanish")

_SOON: Final = (0.002, 0.006, 0.015)
"""Seconds into a step in which something is under way to the broker and back."""

Steps = tuple[Step, ...]


def fault_moves(client: SearchStrategy[int], nodes: int) -> dict[str, SearchStrategy[Steps]]:
    """The moves of ``FAULT_NAMES``; ``client`` is one that may be there."""
    every = range(nodes)
    return {
        "fault": st.sampled_from([fault for node in every for fault in _faults(node)]),
        "mend": st.sampled_from([mended for node in every for mended in _mended(node)]),
        "travel": st.builds(
            lambda client, leave, node: (leave(client), Connect(client, node=node)),
            client,
            st.sampled_from((Close, Drop, Vanish)),
            st.sampled_from(every),
        ),
        "vanish": st.builds(lambda client: (Vanish(client),), client),
    }


def seeds() -> SearchStrategy[Steps]:
    """What decides the order of what could happen next; none, where that does not matter."""
    return st.one_of(st.just(()), st.builds(lambda seed: (Seed(seed),), st.integers(0, 2**16)))


def _faults(node: int) -> tuple[Steps, ...]:
    return (
        (Fault("crash", node), Fault("restart", node)),
        (Fault("crash", node),),
        (Fault("suspend", node),),
        (Fault("isolate", node),),
        (Fault("delay", node, 0.2),),
        (Fault("delay", node, 5.0),),
        (Fault("reorder", node, 5.0),),
        (Fault("skew", node, 0.25),),
        (Fault("skew", node, 4.0),),
        *((Fault(name, node, after=after),) for name in ("crash", "isolate") for after in _SOON),
    )


def _mended(node: int) -> tuple[Steps, ...]:
    return (Fault("restart", node),), (Fault("resume", node),), (Fault("rejoin", node),)
