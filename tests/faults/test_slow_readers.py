"""Twenty members of a room never read, and the room is busy.

What that costs the others in time is measured by ``benchmarks/slow_readers.py``.
"""

import asyncio
import time

import pytest

from tests.faults.clients import Client, Clients, ended
from tests.faults.serve import serving
from tests.process import PATIENCE

JOIN = {"type": "join", "room": "live-busy"}
ALLOWED = 1.5 * 2**20
"""Bytes that one who does not read may cost."""


async def said(client: Client, count: int) -> list[int]:
    return [int((await client.expect(type="said"))["text"]) for _ in range(count)]


@pytest.mark.parametrize(
    "name, readers, count, limit",
    [
        pytest.param("app", 60, 90, PATIENCE, id="more than an outbox holds"),
        pytest.param("hasty", 60, 30, PATIENCE, id="for longer than an outbox waits"),
        pytest.param("app", 180, 90, PATIENCE, id="in a room of 200", marks=pytest.mark.long),
        pytest.param("app", 180, 30, 12, id="for 10 seconds", marks=pytest.mark.long),
    ],
)
async def test_who_does_not_read_is_reset_in_time_and_the_others_get_everything(
    name: str, readers: int, count: int, limit: float
) -> None:
    with serving(name, send_buffer=2**16) as server:
        async with Clients(server.port) as clients:
            members = [await clients.enter(f"member{number}") for number in range(readers)]
            for member in members:
                await member.request(**JOIN)
            deaf = [await clients.enter_deaf(f"deaf{number}", **JOIN) for number in range(20)]
            before = server.resident()
            began = time.monotonic()
            others = [asyncio.create_task(said(member, count)) for member in members[1:]]
            for number in range(count):
                await members[0].request(type="say", room="live-busy", text=f"{number:16000}")
            everything = list(range(count))
            assert await said(members[0], count) == everything
            for other in others:
                assert await other == everything
            for one in deaf:
                assert await ended(one, within=began + limit - time.monotonic())
            for number in range(20):
                await members[0].expect(type="left", user=f"deaf{number}")
            growth = server.resident("VmHWM") - before
            print(f"{growth / 20 / 2**20:.2f} MiB for each; gone after {time.monotonic() - began:.1f} s")
            assert growth < 20 * ALLOWED
        assert "Traceback" not in server.log
