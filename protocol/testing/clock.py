"""Virtual time: an event loop that jumps to the next timer whenever nothing else is left to do.

``await asyncio.sleep(3600)`` takes no time in it, timeouts and leases run out in order, and a test that waits for
what can never come fails at once. Threads are waited for, in real time. Sockets do not belong into it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter

T = TypeVar("T")

THREAD_SECONDS: Final = 10.0
"""How long a thread may work, in real time, before waiting for it counts as being stuck."""


_RESOLUTION: Final = 1e-6
"""Seconds that two timers may lie apart and still be due at once."""


class Stuck(Exception):
    """Every task waits for something that can never come: nothing is ready, and no timer runs."""


class _JumpingSelector(selectors.DefaultSelector):
    """Tells the loop that time has passed instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: Callable[[float | None], bool] = lambda timeout: False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0 or not self.idle(timeout):
            return events
        return super().select(THREAD_SECONDS)


class VirtualLoop(asyncio.SelectorEventLoop):
    """``start`` is what its ``time()`` begins with."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._waiting: list[asyncio.Future[None]] = []
        self._executing = 0
        self._limiter: CapacityLimiter | None = None
        selector = _JumpingSelector()
        selector.idle = self._idle
        super().__init__(selector)
        # The system clock's would be lost in rounding where time starts late.
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        return self._now

    async def settle(self) -> None:
        """Wait until no task can go on by itself; no time passes."""
        self._limiter = current_default_thread_limiter()
        future = self.create_future()
        self._waiting.append(future)
        await future

    def run_in_executor(  # type: ignore[override]  # typeshed binds the arguments
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._executing += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._executed)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._executing += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._executing -= 1

    def _executed(self, future: asyncio.Future[Any]) -> None:
        self._executing -= 1

    def _idle(self, timeout: float | None) -> bool:
        """Nothing is ready. True: a thread is at work, wait for it; else the loop can go on."""
        if self._executing or (self._limiter is not None and self._limiter.borrowed_tokens):
            return True
        waiting = [future for future in self._waiting if not future.done()]
        self._waiting.clear()
        if waiting:
            for future in waiting:
                future.set_result(None)
        elif timeout is None:
            raise Stuck("Every task waits for something that can never come, and no timer runs.")
        else:
            # A timer is due at this very moment or later; rounding must not leave it a little ahead for ever.
            self._now += max(timeout, _RESOLUTION)
        return False


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on virtual time, in a loop of its own."""

    async def limited() -> T:
        asyncio.get_running_loop()._limiter = current_default_thread_limiter()  # type: ignore[attr-defined]
        return await main

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(limited())


async def settle() -> None:
    """Wait until no task can go on by itself; no time passes. On virtual time only."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("settle() works on virtual time only: run the test by protocol.testing.run().")
    await loop.settle()
