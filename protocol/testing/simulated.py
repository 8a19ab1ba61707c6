"""Several simulated nodes as a :class:`protocol.testing.player.Stage`, with their faults as steps."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

from protocol import codes
from protocol.testing.inprocess import PATIENCE, crash_of
from protocol.testing.player import Headers
from protocol.testing.process import Process, SimulatedClient
from protocol.testing.simulation import Simulation
from protocol.testing.steps import Connect, Data, Fault, Seed, Vanish

_BEAT: Final = 0.5
"""Seconds in which everything arrives that no fault holds up; a step takes so many, or a multiple."""


class SimulatedPeer(SimulatedClient):
    """A client that keeps the frames as they came, and waits for nothing that a fault holds up."""

    def __init__(self, process: Process, name: str, **options: Any) -> None:
        super().__init__(process, name, user=None, **options)
        self.process = process
        self.received: list[Data] = []

    @property
    def crash(self) -> BaseException | None:
        return crash_of(self._task)

    async def connect(self) -> "SimulatedPeer":
        try:
            return await super().connect()
        except ConnectionAbortedError as error:
            raise TimeoutError(str(error)) from None

    async def close(self, code: int = codes.NORMAL, reason: str = "") -> None:
        self._events.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.lose(code, reason)
        self.resume()
        if self._task is not None and self.process.serves:
            done, _ = await asyncio.wait([self._task], timeout=PATIENCE)
            # Its node may have crashed meanwhile.
            if not done and self.process.serves:
                raise TimeoutError("The application does not come to an end.")

    def _arrived(self, frame: Data) -> None:
        if not self._deaf:
            self.received.append(frame)


class Simulated:
    """The nodes of ``simulation`` as a stage. ``headers``: those of a client's handshake."""

    distant = False

    def __init__(self, simulation: Simulation, path: str, headers: Callable[[int], Headers]) -> None:
        self._simulation = simulation
        self._path = path
        self._headers = headers
        self._peers: dict[int, SimulatedPeer] = {}
        self._later: set[asyncio.Task[None]] = set()

    @property
    def stalled(self) -> Collection[int]:
        return [client for client, peer in self._peers.items() if peer.process.suspended]

    async def connect(self, step: Connect) -> SimulatedPeer | None:
        simulation, client = self._simulation, step.client
        process = simulation.process(step.at(simulation.nodes))
        if not process.serves:
            return None
        path, _, query = (step.path or self._path).partition("?")
        peer = self._peers[client] = SimulatedPeer(
            process,
            str(client),
            path=path,
            query=query,
            headers=self._headers(client),
            wire=simulation.random.random() < 0.5,
            advance=simulation.advance,
            record=simulation.record,
        )
        try:
            return await peer.connect()
        except TimeoutError:
            if process.serves:
                raise
            return None

    async def do(self, step: Fault | Seed | Vanish) -> bool:
        match step:
            case Fault(after=None):
                return await self._simulation.do(step)
            case Fault():
                self._later.add(asyncio.create_task(self._do_later(step)))
            case Seed(seed):
                self._simulation.random.seed(seed)
            case Vanish(client):
                self._peers[client].vanish()
        return True

    async def _do_later(self, fault: Fault) -> None:
        # The step of the fault itself takes a beat.
        await asyncio.sleep(_BEAT + (fault.after or 0.0))
        await self._simulation.do(fault)

    async def settle(self, done: Callable[[], bool]) -> bool:
        """Look at moments that do not depend on what is waited for, so that a replay finds the same."""
        for _ in range(int(PATIENCE / _BEAT)):
            await asyncio.sleep(_BEAT)
            if done():
                return True
        return False

    async def calm(self) -> None:
        """What has been answered by the last beat has had its effects."""

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
