"""Several nodes of one protocol and their clients in one process, with whatever can go wrong between them.

Time is virtual, and what happens next among all that could is decided by a seed: the same seed gives the same run,
to the letter. Broker and presence store are one for all nodes and do not fail themselves; the ways to them do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from protocol.testing.clock import Clock, VirtualLoop, run
from protocol.testing.network import Cluster
from protocol.testing.process import Process, SimulatedClient
from protocol.testing.scheduler import scheduled
from protocol.testing.steps import Fault
from protocol.types import ASGIApp, User

Scenario = Callable[["Simulation"], Awaitable[object]]

_STEP: Final = 0.01
"""Seconds that pass at once where something is under way."""

_UPTIME: Final = 1000.0
"""Seconds by which the clocks of two processes differ at least: each machine has started at another time."""


class Simulation:
    """``nodes`` applications, each made by ``create_app``, that run between ``async with``; on virtual time only.

    There are no threads in it: what would run in one is called in its place. ``latency``: seconds that one way to
    the broker or the presence store takes at most. ``lives``: how many each node has had before; their names and
    clocks go by that, and nothing else should.

    Attributes:
        nodes: how many there are.
        random: what decides; for the decisions of a scenario too.
        trace: what clients sent and saw, and what was done to them and the nodes, one line each.
    """

    def __init__(
        self,
        create_app: Callable[[], ASGIApp],
        *,
        nodes: int = 2,
        seed: int | str = 0,
        latency: float = 0.005,
        lives: int = 0,
    ) -> None:
        self.nodes = nodes
        self.trace: list[str] = []
        self._create_app = create_app
        self._latency = latency
        self.random = Random(seed)  # noqa: S311 - a run is to be repeated, not to be unpredictable
        self._lives = [lives] * nodes
        self._processes: list[Process] = []
        self._killed: list[Process] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError(
                "A simulation needs virtual time: run it by simulate() or protocol.testing.run()."
            )
        self._loop = loop
        self._cluster = Cluster(loop)
        async with AsyncExitStack() as parts:
            self._scheduler = parts.enter_context(scheduled(loop, self.random))
            parts.callback(self._cancel)
            for node in range(len(self._lives)):
                self._processes.append(self._process(node))
                await self._processes[node].start()
            self._parts = parts.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the nodes as servers do; raises what an application has raised."""
        async with self._parts:
            for process in self._processes:
                if process.alive and error is None:
                    self._scheduler.resume(process)
                    process.link.mend()
                    await process.close()

    def process(self, node: int) -> Process:
        """The current life of a node."""
        return self._processes[node]

    # Clients.

    async def connect(
        self, user: User | str, *, node: int = 0, path: str = "/ws", **options: Any
    ) -> SimulatedClient:
        """Connect a client of ``user`` to a node; ``options`` are those of ``Client``.

        The seed decides whether it is written to past ``send``, unless ``wire`` does. Raises ``Refused``, and
        ``ConnectionError`` where the node is down or does not answer.
        """
        process = self._processes[node]
        if not process.alive:
            raise ConnectionRefusedError(f"The node {node} is down.")
        name = user if isinstance(user, str) else user.id
        options.setdefault("wire", self.random.random() < 0.5)
        client = SimulatedClient(
            process, name, user=user, path=path, advance=self.advance, record=self.record, **options
        )
        return await client.connect()

    # Time.

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def settle(self) -> None:
        """Wait until nothing is under way; what waits for a timer goes on waiting."""
        while await self.advance():
            pass

    async def advance(self) -> bool:
        """Let time pass until something that is under way may have arrived; false where nothing is."""
        await self._loop.settle()
        now = self._loop.now
        seconds = max((process.link.until for process in self._processes if process.alive), default=now) - now
        if seconds <= 0:
            return False
        await asyncio.sleep(min(seconds, _STEP))
        return True

    # Faults.

    async def do(self, fault: Fault) -> bool:
        """Do to a node what a step of a program says; false where that cannot be."""
        if self._processes[fault.node].alive == (fault.name == "restart"):
            return False
        happens = getattr(self, fault.name)(fault.node, *(() if fault.by is None else (fault.by,)))
        if fault.name == "restart":
            await happens
        return True

    def crash(self, node: int) -> None:
        """Kill a node, as by ``kill -9``: nothing of it runs any more, not even a ``finally``."""
        process = self._processes[node]
        self.record(f"{process.name} crashes")
        self._scheduler.stop(process)
        process.kill()
        self._killed.append(process)

    async def restart(self, node: int) -> None:
        """Start a node that has crashed, as a new process."""
        self._processes[node] = process = self._process(node)
        self.record(f"{process.name} starts")
        await process.start()

    def suspend(self, node: int) -> None:
        """Stop a node for a while, as a machine that is overloaded does. Its leases run out."""
        process = self._processes[node]
        self.record(f"{process.name} is suspended")
        process.suspended = True
        self._scheduler.stop(process)

    def resume(self, node: int) -> None:
        """Let a suspended node go on where it was."""
        process = self._processes[node]
        self.record(f"{process.name} goes on")
        process.suspended = False
        self._scheduler.resume(process)

    def isolate(self, node: int) -> None:
        """Cut a node off from the broker and the presence store; what is published for it waits."""
        self.record(f"{self._processes[node].name} is isolated")
        self._processes[node].link.cut()

    def rejoin(self, node: int) -> None:
        """Connect an isolated node again."""
        self.record(f"{self._processes[node].name} is back")
        self._processes[node].link.mend()

    def delay(self, node: int, seconds: float) -> None:
        """From now on publications take up to ``seconds`` to a node, those of one channel in their order."""
        self._processes[node].link.delay = seconds

    def reorder(self, node: int, seconds: float) -> None:
        """From now on what is published within ``seconds`` comes to a node together, the channels in any order.

        Those of one channel keep their order, but rooms overtake each other, and direct messages overtake rooms.
        """
        self._processes[node].link.window = seconds

    def skew(self, node: int, rate: float) -> None:
        """From now on the clock of a node goes ``rate`` times as fast, and its timers with it."""
        self.record(f"the clock of {self._processes[node].name} goes {rate:g} times as fast")
        self._processes[node].clock.go(rate)

    def record(self, line: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self._loop.now:.6f} {line}")

    # Parts.

    def _process(self, node: int) -> Process:
        self._lives[node] += 1
        return Process(
            f"n{node}.{self._lives[node]}",
            self._create_app(),
            self._cluster,
            loop=self._loop,
            clock=Clock(self._loop, _UPTIME * sum(self._lives)),
            random=self.random,
            latency=self._latency,
        )

    def _cancel(self) -> None:
        """Let what is left come to its end, after the simulation's."""
        for process in (*self._processes, *self._killed):
            process.cancel()


def simulate(
    scenario: Scenario,
    create_app: Callable[[], ASGIApp],
    *,
    nodes: int = 2,
    seeds: Iterable[int | str] = range(100),
    latency: float = 0.005,
) -> None:
    """Run ``scenario`` once for each seed, each time with fresh nodes; an error that leaves it names the seed."""
    for seed in seeds:
        simulation = Simulation(create_app, nodes=nodes, seed=seed, latency=latency)

        async def story(simulation: Simulation = simulation) -> None:
            async with simulation:
                await scenario(simulation)

        try:
            run(story())
        except BaseException as error:
            tail = "\n".join(simulation.trace[-40:])
            error.add_note(f"Run it again by simulate(…, seeds=[{seed!r}]). What came before:\n{tail}")
            raise
