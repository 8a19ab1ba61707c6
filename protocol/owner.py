"""The task that owns a connection, and how it is interrupted.

What it runs stays in that one task, so that timeouts, cancel scopes and context variables work as if it was
awaited directly. Nothing is known here of messages and connections.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any, cast


class StrayCancellationError(Exception):
    """Something was cancelled that the application's code has awaited, not the task that runs it."""

    def __init__(self, error: asyncio.CancelledError) -> None:
        super().__init__("A task was awaited that somebody has cancelled.")
        self.__cause__ = error


def cause_of(error: Exception | asyncio.CancelledError) -> Exception:
    """What the application's code has failed with.

    Raises a ``CancelledError`` again where it is the running task that it is meant for.
    """
    if not isinstance(error, asyncio.CancelledError):
        return error
    task = asyncio.current_task()
    if task is not None and task.cancelling() > 0:
        raise error
    return StrayCancellationError(error)


async def ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of ``task``, however often the caller is cancelled meanwhile; that is raised only then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        task.result()
    finally:
        if cancelled is not None:
            raise cancelled


class Owner:
    """The running task. ``suspended`` is called whenever what it runs comes to wait for something.

    Attributes:
        waited: what runs has waited for something since :meth:`disturbed` was asked; only there can anybody disturb it.
    """

    def __init__(self, suspended: Callable[[], None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._tell = suspended
        self.waited = False
        self._running = False
        self._wanted = False
        self._interrupts = 0
        self._cancellations = 0
        # Task groups that have cancelled the task, and may not take it back.
        self._groups: list[object] = []

    async def run(self, work: Coroutine[Any, Any, None]) -> bool:
        """Await ``work``; false where it was interrupted and has given way.

        Work that goes on after an interruption is awaited to its end. A cancellation by anybody else passes
        through, also where it comes together with an interruption, and where the work has swallowed it.
        """
        self._cancellations = self._task.cancelling()
        self._interrupts = 0
        self._wanted = False
        self._running = True
        gave_way = False
        try:
            await _Watched(work, self._suspended, self._cancelled)
        except asyncio.CancelledError:
            if not self._interrupts:
                raise
            gave_way = True
        finally:
            self._running = False
            self._take_back()
            for _ in range(self._interrupts):
                self._task.uncancel()
        if self._task.cancelling() > self._cancellations:
            raise asyncio.CancelledError
        return not gave_way

    def disturbed(self) -> bool:
        """Whether what runs was interrupted or cancelled, and went on; it should come to its end now."""
        self.waited = False
        self._take_back()
        return self._task.cancelling() > self._cancellations

    def interrupt(self) -> None:
        """Cancel what runs where it waits, or will wait next; where nothing runs, do nothing."""
        if not self._running:
            return
        if asyncio.current_task() is self._task:
            # Cancelled now, it could come to its end and leave the cancellation to whatever is awaited next.
            self._wanted = True
        else:
            self._cancel()

    def _suspended(self) -> None:
        self.waited = True
        self._tell()
        if self._wanted:
            self._wanted = False
            self._cancel()

    def _cancel(self) -> None:
        self._interrupts += 1
        self._task.cancel()

    def _cancelled(self, work: object) -> None:
        group = _group_ending(work)
        if group is not None and group not in self._groups:
            self._groups.append(group)

    def _take_back(self) -> None:
        """Forget the cancellations of task groups that are over, which nobody else has meant."""
        for _ in self._groups:
            if self._task.cancelling() > self._cancellations + self._interrupts:
                self._task.uncancel()
        self._groups.clear()


def _group_ending(work: Any) -> object | None:
    """The task group that has cancelled the task while ``work`` awaits its end, or what may hide one.

    From Python 3.13 on such a group takes the cancellation back itself (python/cpython#116720).
    """
    if sys.version_info >= (3, 13):
        return None
    while work is not None:
        frame = getattr(work, "cr_frame", None)
        if frame is not None and frame.f_code is asyncio.TaskGroup.__aexit__.__code__:
            group: Any = frame.f_locals["self"]
            return group if group._parent_cancel_requested else None
        if type(work).__name__.startswith("async_generator_"):
            # It does not say what it awaits; a dependency with `yield` runs in one.
            return cast(object, work)
        work = getattr(work, "cr_await", None)
    return None


class _Watched(Generator[Any, Any, None]):
    """Awaits a coroutine, and tells whenever it suspends, and of each cancellation."""

    __slots__ = ("_cancelled", "_coroutine", "_suspended")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        suspended: Callable[[], None],
        cancelled: Callable[[object], None],
    ) -> None:
        self._coroutine = coroutine
        self._suspended = suspended
        self._cancelled = cancelled

    def __await__(self) -> Generator[Any, Any, None]:
        return self

    def send(self, value: Any) -> Any:
        waits_for = self._coroutine.send(value)
        self._suspended()
        return waits_for

    def throw(self, *error: Any) -> Any:
        if isinstance(error[0], asyncio.CancelledError):
            self._cancelled(self._coroutine)
        waits_for = self._coroutine.throw(*error)
        self._suspended()
        return waits_for
