"""A task that is interrupted at every moment, by one party and by several at once."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from protocol.owner import Owner, ended


def silent() -> None: ...


async def at(turn: int, call: Callable[[], object]) -> None:
    """Call after ``turn`` turns of the loop."""
    for _ in range(turn):
        await asyncio.sleep(0)
    call()


async def test_work_that_never_waits_is_not_told_of() -> None:
    told: list[None] = []

    async def work() -> None: ...

    assert await Owner(lambda: told.append(None)).run(work())
    assert told == []


async def test_every_wait_is_told_of() -> None:
    told: list[None] = []

    async def work() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(1)

    assert await Owner(lambda: told.append(None)).run(work())
    assert len(told) == 2


async def test_work_runs_in_the_task_itself() -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def work() -> None:
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    await Owner(silent).run(work())
    assert tasks == [asyncio.current_task()]


async def test_what_work_raises_passes() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError("key")

    with pytest.raises(LookupError, match="key"):
        await Owner(silent).run(work())


@pytest.mark.parametrize("turn", range(1, 6))
async def test_an_interruption_ends_work_wherever_it_waits(turn: int) -> None:
    owner = Owner(silent)
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            await asyncio.sleep(3600)
        finally:
            cleaned = True

    task = asyncio.create_task(at(turn, owner.interrupt))
    assert not await owner.run(work())
    assert cleaned
    await task
    await asyncio.sleep(0)  # nothing of the cancellation is left


async def test_work_that_goes_on_after_an_interruption_is_awaited() -> None:
    owner = Owner(silent)

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(1)

    task = asyncio.create_task(at(1, owner.interrupt))
    assert await owner.run(work())
    await task


async def test_work_that_goes_on_can_be_interrupted_again() -> None:
    owner = Owner(silent)

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

    tasks = [asyncio.create_task(at(turn, owner.interrupt)) for turn in (1, 5)]
    assert not await owner.run(work())
    await asyncio.gather(*tasks)


async def test_work_that_interrupts_itself_ends_where_it_waits_next() -> None:
    owner = Owner(silent)
    reached: list[str] = []

    async def work() -> None:
        owner.interrupt()
        reached.append("here")
        await asyncio.sleep(0)
        reached.append("not here")

    assert not await owner.run(work())
    assert reached == ["here"]


async def test_work_that_interrupts_itself_and_waits_no_more_ends_by_itself() -> None:
    owner = Owner(silent)

    async def work() -> None:
        owner.interrupt()

    assert await owner.run(work())
    await asyncio.sleep(0)


async def test_between_two_works_nothing_is_interrupted() -> None:
    owner = Owner(silent)
    task = asyncio.create_task(at(0, owner.interrupt))
    await task
    await asyncio.sleep(0)

    async def work() -> None:
        await asyncio.sleep(0)

    assert await owner.run(work())


async def test_a_timeout_inside_of_work_stays_a_timeout() -> None:
    owner = Owner(silent)

    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(3600)
        await asyncio.sleep(1)

    assert await owner.run(work())


async def test_an_interruption_is_no_timeout_even_at_its_very_moment() -> None:
    owner = Owner(silent)
    caught: list[str] = []

    async def work() -> None:
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(3600)
        except TimeoutError:
            caught.append("timeout")

    asyncio.get_running_loop().call_later(1, owner.interrupt)
    assert not await owner.run(work())
    assert caught == []


async def begun(
    work: Callable[[Owner], Coroutine[Any, Any, None]],
) -> tuple[asyncio.Task[bool], Owner]:
    """A task of its own that owns the work, and has begun it."""

    async def outer() -> bool:
        owner = Owner(silent)
        ready.set_result(owner)
        return await owner.run(work(owner))

    ready: asyncio.Future[Owner] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(outer())
    return task, await ready


@pytest.mark.parametrize("both", [False, True])
async def test_a_cancellation_by_others_passes_through(both: bool) -> None:
    async def work(owner: Owner) -> None:
        await asyncio.sleep(3600)

    task, owner = await begun(work)
    if both:
        owner.interrupt()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_cancellation_by_others_that_work_swallows_ends_the_task_all_the_same() -> None:
    async def work(owner: Owner) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    task, _ = await begun(work)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("where", ["work", "context"])
@pytest.mark.parametrize("swallows", [False, True])
async def test_a_task_group_that_fails_is_no_cancellation_by_others(where: str, swallows: bool) -> None:
    async def fail() -> None:
        raise LookupError

    async def fail_together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.sleep(3600))

    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        await fail_together()
        yield

    async def work() -> None:
        try:
            if where == "work":
                await fail_together()
            else:
                async with failing():
                    raise NotImplementedError
        except* LookupError:
            if not swallows:
                raise
        await asyncio.sleep(0)
        assert not owner.disturbed()

    owner = Owner(silent)
    if swallows:
        assert await owner.run(work())
    else:
        with pytest.raises(ExceptionGroup):
            await owner.run(work())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("by_others", [False, True])
async def test_a_cancellation_is_seen_at_the_end_of_a_task_group_that_fails(by_others: bool) -> None:
    async def fail() -> None:
        raise LookupError

    async def cleanup() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)

    async def work(owner: Owner) -> None:
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(cleanup())
                group.create_task(fail())
        await asyncio.sleep(3600)

    task, owner = await begun(work)
    # The group has failed, and waits for the other task.
    await asyncio.sleep(0.5)
    if by_others:
        task.cancel()
    else:
        owner.interrupt()
    await asyncio.sleep(1)
    if sys.version_info >= (3, 13) and not by_others:
        assert not await task, "the group itself has passed the interruption on"
        return
    assert owner.disturbed()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_goes_on_can_ask_whether_it_was_interrupted() -> None:
    owner = Owner(silent)
    answers: list[tuple[bool, bool]] = []

    async def work() -> None:
        answers.append((owner.waited, owner.disturbed()))
        await asyncio.sleep(0)
        answers.append((owner.waited, owner.disturbed()))
        answers.append((owner.waited, owner.disturbed()))
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        answers.append((owner.waited, owner.disturbed()))

    task = asyncio.create_task(at(3, owner.interrupt))
    assert await owner.run(work())
    assert answers == [(False, False), (True, False), (False, False), (True, True)]
    await task
    await owner.run(asyncio.sleep(0))
    assert not owner.disturbed()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("times", [0, 1, 3])
async def test_the_end_of_another_task_is_awaited_however_often_the_caller_is_cancelled(
    times: int, fails: bool
) -> None:
    async def work() -> None:
        await asyncio.sleep(1)
        if fails:
            raise OSError("It has failed.")

    task = asyncio.create_task(work())
    caller = asyncio.create_task(ended(task))
    for _ in range(times):
        await asyncio.sleep(0)
        caller.cancel()
    await asyncio.wait((caller,))
    assert task.done()
    if times:
        assert caller.cancelled()
    elif fails:
        assert str(caller.exception()) == "It has failed."
    else:
        assert caller.result() is None
