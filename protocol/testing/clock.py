"""Virtual time: an event loop that jumps to the next timer whenever nothing else is left to do.

``await asyncio.sleep(3600)`` takes no time in it, timeouts and leases run out in order, and a test that waits for
what can never come fails at once. Threads are waited for, in real time. Sockets do not belong into it.

Where several processes are simulated in one loop, each has a clock of its own, which may be wrong.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, Final, TypeVar

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
        if timeout == 0:
            return []  # what has to wake the loop can wait until it has nothing to do
        events = super().select(0)
        if events or not self.idle(timeout):
            return events
        return super().select(THREAD_SECONDS)


class Clock:
    """What one process takes for the time. ``start``: what it shows at first."""

    def __init__(self, loop: "VirtualLoop", start: float) -> None:
        self._loop = loop
        self._shown = start
        self._since = loop.now
        self._rate = 1.0

    def time(self) -> float:
        """What it shows."""
        return self._shown + (self._loop.now - self._since) * self._rate

    def when(self, time: float) -> float:
        """The moment at which it will show ``time``, if it goes on as it does."""
        return self._since + (time - self._shown) / self._rate

    def go(self, rate: float) -> None:
        """Go ``rate`` times as fast as time passes, from now on; timers that run end when they would have."""
        self._shown, self._since, self._rate = self.time(), self._loop.now, rate


CLOCK: Final[ContextVar[Clock | None]] = ContextVar("protocol.testing.clock", default=None)
"""The clock of the simulated process that a context belongs to; ``time()`` and timers go by it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """``start`` is what its ``time()`` begins with.

    Attributes:
        now: the time, whatever the clock of a process shows.
    """

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self._waiting: list[asyncio.Future[None]] = []
        self._executing = 0
        selector = _JumpingSelector()
        selector.idle = self._idle
        super().__init__(selector)
        # The system clock's would be lost in rounding where time starts late.
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        clock = CLOCK.get()
        return self.now if clock is None else clock.time()

    def call_at(  # type: ignore[override]  # typeshed binds the arguments
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        clock = CLOCK.get()
        return self.at(when if clock is None else clock.when(when), callback, *args, context=context)

    def at(
        self, now: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """``call_at`` by no clock of a process."""
        return super().call_at(now, callback, *args, context=context)

    async def settle(self) -> None:
        """Wait until no task can go on by itself; no time passes."""
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
        if self._executing or any(_works_for(self, thread) for thread in threading.enumerate()):
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
            self.now += max(timeout, _RESOLUTION)
        return False


def _works_for(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> bool:
    """Whether a thread in which plain functions run, which is anyio's, has something to do for ``loop``.

    A limiter would say how many do, but FastAPI has another one for leaving each dependency.
    """
    return (
        getattr(thread, "loop", None) is loop
        and thread in getattr(thread, "workers", ())
        and thread not in getattr(thread, "idle_workers", ())
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on virtual time, in a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        # Its own run() sets a signal handler each time, which costs as much as a short test.
        return runner.get_loop().run_until_complete(main)


async def settle() -> None:
    """Wait until no task can go on by itself; no time passes. On virtual time only."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("settle() works on virtual time only: run the test by protocol.testing.run().")
    await loop.settle()
