"""Links that are cut in the middle of a frame, again and again, between clients that come back and go on."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.faults.serve import serving

CLIENTS = 60
ROOMS = 6


class Relay:
    """Passes on what comes in, and cuts each link after some bytes of the server's, until it is told not to."""

    def __init__(self, target: int, seed: int) -> None:
        self._target = target
        self._random = random.Random(seed)
        self.cutting = True
        self.cuts = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """The port that it listens at."""
        async with await asyncio.start_server(self._link, "127.0.0.1", 0) as server:
            port: int = server.sockets[0].getsockname()[1]
            yield port

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        left = int(self._random.expovariate(1 / 5000))
        up = asyncio.create_task(_pass_on(reader, far_writer))
        with suppress(ConnectionError):
            while data := await far_reader.read(65536):
                if self.cutting and len(data) > left:
                    self.cuts += 1
                    writer.write(data[:left])
                    await writer.drain()
                    break
                left -= len(data)
                writer.write(data)
                await writer.drain()
        # Unread data of either side makes these resets, and acknowledgements under way are lost.
        far_writer.transport.abort()
        writer.close()
        await up


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Member:
    """Says numbered things in a room, each with a key until it is acknowledged, and resumes where it was."""

    def __init__(self, name: str, room: str, port: int) -> None:
        self.name = name
        self.room = room
        self.said = 0
        self.acknowledged: dict[str, int] = {}
        self.heard: dict[int, tuple[str, str]] = {}
        self.resumed = 0
        self._url = f"ws://127.0.0.1:{port}/ws?name={name}"
        self._position: dict[str, Any] | None = None

    async def talk(self, goes_on: Callable[["Member"], bool]) -> None:
        """As long as ``goes_on``, through any number of connections."""
        while goes_on(self):
            with suppress(ConnectionClosed, OSError, EOFError, InvalidHandshake):
                async with connect(self._url, compression=None, close_timeout=1) as socket:
                    await self._join(socket)
                    while goes_on(self):
                        await self._say(socket, str(self.said))
                        self.said += 1

    async def catch_up(self) -> None:
        """Come back once more, and hear everything up to the room's position."""
        async with connect(self._url, compression=None) as socket:
            end = await self._join(socket)
            while self._position is not None and self._position["offset"] < end:
                self._took(json.loads(await socket.recv()))

    async def _join(self, socket: ClientConnection) -> int:
        """Join, and return the room's position."""
        await socket.send(json.dumps({"type": "join", "room": self.room, "since": self._position}))
        joined = json.loads(await socket.recv())
        assert joined["type"] == "joined"
        if self._position is None:
            self._position = {"offset": joined["offset"], "epoch": joined["epoch"]}
        else:
            assert joined["recovered"]
            self.resumed += 1
        return int(joined["offset"])

    async def _say(self, socket: ClientConnection, text: str) -> None:
        key = f"{self.name}-{text}-is-said-once"
        await socket.send(
            json.dumps({"type": "say", "room": self.room, "text": text, "id": text, "key": key})
        )
        while (answer := self._took(json.loads(await socket.recv()))) is None:
            pass
        assert (answer["type"], answer["ref"]) == ("ack", text)
        self.acknowledged[text] = answer["offset"]

    def _took(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        """Take one frame; returns an answer."""
        if frame["type"] == "left":
            return None
        if frame["type"] != "said":
            return frame
        assert self._position is not None
        assert frame["offset"] == self._position["offset"] + 1, "a hole, or a repeat"
        self._position["offset"] = frame["offset"]
        self.heard[frame["offset"]] = (frame["user"], frame["text"])
        return None


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.long)])
async def test_whoever_comes_back_has_heard_everything_once_and_in_one_order(seconds: int) -> None:
    with serving("app") as server:
        relay = Relay(server.port, seed=seconds)
        async with relay.listening() as port:
            members = [Member(f"m{number}", f"kept-{number % ROOMS}", port) for number in range(CLIENTS)]
            began = time.monotonic()
            async with asyncio.TaskGroup() as talking:
                for member in members:
                    talking.create_task(
                        member.talk(lambda one: time.monotonic() - began < seconds or one.resumed < 2)
                    )
            relay.cutting = False
            async with asyncio.TaskGroup() as catching_up:
                for member in members:
                    catching_up.create_task(member.catch_up())
        assert "Traceback" not in server.log
    for room in {member.room for member in members}:
        inside = [member for member in members if member.room == room]
        stream = {offset: said for member in inside for offset, said in member.heard.items()}
        assert [said for said, times in Counter(stream.values()).items() if times > 1] == [], "applied twice"
        for member in inside:
            first = min(member.heard)
            assert member.heard == {at: said for at, said in stream.items() if at >= first}, "two orders"
            for text, offset in member.acknowledged.items():
                assert stream[offset] == (member.name, text), "acknowledged, and lost"
    acknowledged = sum(len(member.acknowledged) for member in members)
    print(f"{relay.cuts} cuts, {sum(m.resumed for m in members)} resumed, {acknowledged} acknowledged")
