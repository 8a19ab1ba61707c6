"""The order in which tasks wake up, decided by a seed, and processes that can be stopped as by a signal.

Threads would be out of its reach: what is meant for one is called in its place.

asyncio keeps the order of callbacks, and wakes tasks in the order in which they became ready. Nothing may rely on
the latter: a wake-up stands for an answer of the network or of another process. So any task that is ready may be
the next here, whereas plain callbacks stay in their order among themselves.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from random import Random
from typing import Any, Final, TypeVar

import anyio.to_thread

T = TypeVar("T")

PROCESS: Final[ContextVar[object]] = ContextVar("protocol.testing.process", default=None)
"""The simulated process that a context belongs to; what it calls later, and its tasks, inherit it."""


class Scheduler(deque[asyncio.Handle]):
    """The queue of what is ready in a loop; in the place of the loop's own."""

    def __init__(self, ready: Iterable[asyncio.Handle], random: Random) -> None:
        super().__init__(ready)
        self._random = random
        self._stopped: dict[object, list[asyncio.Handle]] = {}
        self._nothing = asyncio.Handle(print, (), asyncio.get_running_loop())
        self._nothing.cancel()

    def popleft(self) -> asyncio.Handle:
        """Take what runs next. In the place of what belongs to a stopped process: nothing."""
        index = self._random.randrange(len(self)) if len(self) > 1 else 0
        if not _is_task(self[index]):
            index = next(index for index, handle in enumerate(self) if not _is_task(handle))
        handle = self[index]
        del self[index]
        stopped = self._stopped.get(handle._context.get(PROCESS))  # type: ignore[attr-defined]
        if stopped is None:
            return handle
        stopped.append(handle)
        return self._nothing

    def stop(self, process: object) -> None:
        """Run nothing more of ``process``: no task, no callback, no ``finally``."""
        self._stopped.setdefault(process, [])

    def resume(self, process: object) -> None:
        """Let a stopped process go on where it was."""
        self.extend(self._stopped.pop(process, ()))

    def resume_all(self) -> None:
        """Let everything go on."""
        for process in list(self._stopped):
            self.resume(process)


def _is_task(handle: asyncio.Handle) -> bool:
    """Whether it is the next step of a task, rather than a callback."""
    callback = handle._callback  # type: ignore[attr-defined]
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)


@contextmanager
def scheduled(loop: Any, random: Random) -> Iterator[Scheduler]:
    """Let ``random`` decide in ``loop``, and call in their place what is meant for threads."""
    scheduler = loop._ready = Scheduler(loop._ready, random)
    run_sync: Any = anyio.to_thread.run_sync
    anyio.to_thread.run_sync = _called  # type: ignore[assignment]
    loop.run_in_executor = _executed
    try:
        yield scheduler
    finally:
        scheduler.resume_all()
        loop._ready = deque(scheduler)
        anyio.to_thread.run_sync = run_sync
        del loop.run_in_executor


async def _called(function: Callable[..., T], *args: Any, **options: Any) -> T:
    await asyncio.sleep(0)
    return copy_context().run(function, *args)


def _executed(executor: Any, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(function(*args))
    except Exception as error:  # noqa: BLE001 - the caller's
        future.set_exception(error)
    return future
