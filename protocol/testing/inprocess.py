"""An application in this process as a :class:`protocol.testing.player.Stage`: no sockets, and no real time."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

from protocol.testing.client import Client
from protocol.testing.clock import VirtualLoop
from protocol.testing.player import Headers, offered
from protocol.testing.steps import Connect, Data, Fault, Seed, Vanish

PATIENCE: Final = 60.0
"""Virtual seconds after which a server that does not answer counts as silent."""

_PAUSES: Final = (0.1, 1.0, 10.0, PATIENCE - 11.1)


def crash_of(task: asyncio.Task[None] | None) -> BaseException | None:
    """What has escaped from the application that served a connection in ``task``."""
    if task is None or not task.done() or task.cancelled():
        return None
    return task.exception()


def _outlived(app: Any) -> Any:
    """``app`` whose end is a failure of it, and not the end of who plays with it."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except SystemExit as error:
            raise RuntimeError(f"{error!r} ends the server") from error

    return served


class LocalPeer(Client):
    """A client that keeps the frames as they came."""

    def __init__(self, app: Any, path: str, headers: Headers) -> None:
        path, _, query = path.partition("?")
        rest, subprotocols = offered(headers)
        super().__init__(_outlived(app), path, query=query, headers=rest, subprotocols=subprotocols)
        self.received: list[Data] = []

    @property
    def crash(self) -> BaseException | None:
        return crash_of(self._task)

    async def connect(self) -> "LocalPeer":
        try:
            async with asyncio.timeout(PATIENCE):
                return await super().connect()
        except AssertionError as error:
            raise TimeoutError(str(error)) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._events.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._reading.set()
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=PATIENCE)
            if not done:
                raise TimeoutError("The application does not come to an end.")

    def _arrived(self, frame: Data) -> None:
        self.received.append(frame)


class InProcess:
    """``app`` as a stage, on the virtual time of the running loop. ``headers``: those of a client's handshake."""

    distant = False
    stalled: Collection[int] = ()

    def __init__(self, app: Any, path: str, headers: Callable[[int], Headers]) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError(
                "An application is played on virtual time only: run it by protocol.testing.run()."
            )
        self._loop = loop
        self._app = app
        self._path = path
        self._headers = headers

    async def connect(self, step: Connect) -> LocalPeer:
        return await LocalPeer(self._app, step.path or self._path, self._headers(step.client)).connect()

    async def do(self, step: Fault | Seed | Vanish) -> bool:
        return False

    async def settle(self, done: Callable[[], bool]) -> bool:
        await self._loop.settle()
        for pause in _PAUSES:
            if done():
                return True
            await asyncio.sleep(pause)
            await self._loop.settle()
        return done()

    async def calm(self) -> None:
        """``settle`` ends only when nothing goes on by itself."""

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
