"""Virtual time."""

import asyncio
import threading
import time

import pytest
from anyio import CapacityLimiter, to_thread

from protocol.testing import Stuck, VirtualLoop, run, settle
from tests.process import PATIENCE


def test_an_hour_takes_no_time_and_timers_keep_their_order() -> None:
    async def scenario() -> list[str]:
        done: list[str] = []

        async def work(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            done.append(name)

        await asyncio.gather(work("c", 3600), work("a", 1), work("b", 2))
        assert asyncio.get_running_loop().time() == pytest.approx(3600)
        return done

    started = time.monotonic()
    assert run(scenario()) == ["a", "b", "c"]
    assert time.monotonic() - started < PATIENCE


def test_who_waits_for_what_can_never_come_is_told_so() -> None:
    async def scenario() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck) as error:
        run(scenario())
    assert str(error.value) == "Every task waits for something that can never come, and no timer runs."


@pytest.mark.parametrize("how", ["anyio", "anyio with a limiter", "executor"])
async def test_threads_are_waited_for_in_real_time(how: str) -> None:
    release = threading.Event()

    def work() -> str:
        release.wait(5)
        return "done"

    limiter = CapacityLimiter(1) if how == "anyio with a limiter" else None
    call = asyncio.to_thread(work) if how == "executor" else to_thread.run_sync(work, limiter=limiter)
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    threading.Timer(0.05, release.set).start()
    await settle()
    assert task.done()
    assert await task == "done"
    assert asyncio.get_running_loop().time() == 0


async def test_settling_lets_no_time_pass() -> None:
    timer = asyncio.ensure_future(asyncio.sleep(1))
    reached: list[int] = []

    async def turns() -> None:
        for turn in range(100):
            await asyncio.sleep(0)
            reached.append(turn)

    task = asyncio.create_task(turns())
    await settle()
    assert reached == list(range(100))
    assert not timer.done()
    await timer
    await task


def test_settling_needs_virtual_time() -> None:
    with pytest.raises(TypeError) as error:
        asyncio.run(settle())
    assert str(error.value) == (
        "settle() works on virtual time only: run the test by protocol.testing.run()."
    )


def test_a_loop_may_start_at_any_time() -> None:
    loop = VirtualLoop(1e9)
    assert loop.run_until_complete(asyncio.sleep(1, "done")) == "done"
    assert loop.time() == pytest.approx(1e9 + 1)
    loop.close()
