"""An arena of several simulated nodes: faults are steps of its programs, and a program says all that happens.

Each program gets a fresh simulation. What an application leaves behind is looked at in a single process, by
:class:`protocol.fuzzing.arena.LocalArena`.
"""

from collections.abc import Callable
from typing import Any, Final

from protocol.fuzzing.arena import (
    Arena,
    LocalArena,
    Login,
    answers,
    arrival,
    headers_of,
    introduced,
)
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.faults import FAULT_NAMES
from protocol.fuzzing.moves import MOVE_NAMES
from protocol.fuzzing.program import Program
from protocol.fuzzing.run import Run
from protocol.presence import LEASE_SECONDS
from protocol.testing.clock import run as run_virtually
from protocol.testing.player import play
from protocol.testing.process import KEEPALIVE
from protocol.testing.simulated import Simulated
from protocol.testing.simulation import Simulation
from protocol.testing.steps import Fault, Opening, Step, Vanish, Wait
from protocol.testing.transcript import Exchange

_MENDED: Final = 1.0
_LAPSED: Final = KEEPALIVE + 3 * LEASE_SECONDS
"""Seconds after which everybody knows who is gone without a word."""


class SimulatedArena:
    """``nodes`` applications that ``create_app`` makes."""

    moves: tuple[str, ...] = (*MOVE_NAMES, *FAULT_NAMES)

    def __init__(
        self,
        create_app: Callable[[], Any],
        contract: Contract,
        *,
        nodes: int,
        login: Login | None = None,
        opening: Opening | None = None,
    ) -> None:
        self.contract = contract
        self.nodes = nodes
        self._create_app = create_app
        self._headers = headers_of(login)
        self._opening = opening
        # Names are the same each time, so that a transcript has those of its replay; only what is played again, to
        # learn what may differ, has others.
        self._lives = 0

    def aftermath(self, program: Program) -> tuple[Step, ...]:
        """Every fault ends, and so does the time after which those are missed that have vanished."""
        faults = [step for step in program if isinstance(step, Fault)]
        disturbed = faults or any(isinstance(step, Vanish) for step in program)
        mended = [step for node in sorted({fault.node for fault in faults}) for step in _mended(node)]
        return (*mended, Wait(_LAPSED if disturbed else _MENDED))

    def play(self, steps: tuple[Step, ...], newcomers: int) -> Run:
        return self._run(steps, newcomers, lives=0)

    def close(self) -> None:
        """Nothing outlives a program here."""

    def _run(self, steps: tuple[Step, ...], newcomers: int, *, lives: int) -> Run:
        steps = introduced(self.contract, steps, self._opening)
        exchanges = run_virtually(self._played(steps, self.nodes, lives))
        return Run(
            self.contract,
            exchanges,
            newcomers=arrival(exchanges, steps, newcomers),
            again=self._again,
            nodes=self.nodes,
            alone=(lambda: self._alone(steps[:newcomers])) if self.nodes > 1 else None,
        )

    def _again(self, steps: tuple[Step, ...]) -> Run:
        self._lives += 1
        return self._run(steps, len(steps), lives=self._lives)

    def _alone(self, steps: tuple[Step, ...]) -> Run:
        exchanges = run_virtually(self._played(steps, 1, 0))
        return Run(self.contract, exchanges, newcomers=len(exchanges), nodes=1)

    async def _played(self, steps: tuple[Step, ...], nodes: int, lives: int) -> tuple[Exchange, ...]:
        contract = self.contract
        async with Simulation(self._create_app, nodes=nodes, lives=lives) as simulation:
            stage = Simulated(simulation, contract.path, self._headers)
            return await play(steps, stage, barrier=contract.barrier, until=answers(contract))


def local(
    create_app: Callable[[], Any],
    contract: Contract,
    *,
    nodes: int = 0,
    login: Login | None = None,
    opening: Opening | None = None,
    measured: bool = True,
) -> Arena:
    """The arena of ``create_app`` in this process, of as many simulated nodes as are asked for."""
    if nodes:
        return SimulatedArena(create_app, contract, nodes=nodes, login=login, opening=opening)
    return LocalArena(create_app, contract, login=login, opening=opening, measured=measured)


def _mended(node: int) -> tuple[Fault, ...]:
    return (
        Fault("restart", node),
        Fault("resume", node),
        Fault("rejoin", node),
        Fault("delay", node, 0.0),
        Fault("reorder", node, 0.0),
        Fault("skew", node, 1.0),
    )
