"""SIGTERM while people talk, and one of them does not read."""

import asyncio
import json
import time
from itertools import count
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.clients import Client, Clients
from tests.faults.serve import serving
from tests.process import PATIENCE

ROOM = "kept-busy"
TALKERS = 10


class Member:
    """Hears everything that is said, and remembers it."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.heard: dict[int, tuple[str, str]] = {}
        self.acknowledged: dict[int, tuple[str, str]] = {}

    async def listen(self) -> tuple[int, str]:
        """Until the server closes; returns how it did."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await self._next()
        return _ending(closed.value)

    async def talk(self) -> tuple[int, str]:
        """Say one thing after the other, each when the one before is acknowledged."""
        with pytest.raises(ConnectionClosed) as closed:
            for id in count():
                text = f"number {id}"
                await self.client.send(type="say", room=ROOM, text=text, id=id)
                while (answer := await self._next()) is None:
                    pass
                assert answer["type"] == "ack"
                self.acknowledged[answer["offset"]] = (self.name, text)
        return _ending(closed.value)

    async def _next(self) -> dict[str, Any] | None:
        """Take one frame; returns an answer."""
        frame: dict[str, Any] = json.loads(await self.client.socket.recv())
        if frame["type"] != "said":
            return frame
        offset = frame["offset"]
        assert offset == max(self.heard, default=offset - 1) + 1, "a hole, or a repeat"
        self.heard[offset] = (frame["user"], frame["text"])
        return None


def _ending(closed: ConnectionClosed) -> tuple[int, str]:
    assert closed.rcvd is not None
    return closed.rcvd.code, closed.rcvd.reason


@pytest.mark.parametrize("grace, slack", [(2, PATIENCE), pytest.param(5, 1, marks=pytest.mark.long)])
async def test_nothing_acknowledged_is_lost_and_the_living_are_told_when_to_come_back(
    grace: int, slack: float
) -> None:
    with serving("app", timeout_graceful_shutdown=grace) as server:
        async with Clients(server.port) as clients:
            members = [Member(await clients.enter(f"m{number}"), f"m{number}") for number in range(200)]
            for member in members:
                await member.client.request(type="join", room=ROOM)
            await clients.enter_deaf("deaf", type="count", to=10_000_000)
            busy = [
                asyncio.create_task(member.talk() if index < TALKERS else member.listen())
                for index, member in enumerate(members)
            ]
            while len(members[0].acknowledged) < 10:  # noqa: ASYNC110 the members have no event
                await asyncio.sleep(0)
            server.ask_to_stop()
            began = time.monotonic()
            endings = await asyncio.gather(*busy)
            told = time.monotonic() - began
            assert await asyncio.to_thread(server.ended_within, grace + slack)
            print(f"all told after {told:.2f} s, ended after {time.monotonic() - began:.2f} s")
        assert {code for code, _ in endings} == {3001}
        advice = [json.loads(reason)["reconnect_after"] for _, reason in endings]
        assert all(0 <= seconds <= 2 for seconds in advice)
        assert len(set(advice)) > 50
        assert "Traceback" not in server.log
    room = {offset: said for member in members for offset, said in member.heard.items()}
    for member in members:
        assert member.heard.items() <= room.items(), "two orders"
        assert member.acknowledged.items() <= member.heard.items(), "acknowledged, and not heard"
