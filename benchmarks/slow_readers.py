"""What twenty members that never read cost the other hundred and eighty of a busy room.

Rooms with and without them take turns, each on a fresh server, so that what the machine does besides hits both
alike. The time of a message is from before it is sent to when a member has it, decoded. Run it on an idle machine.
"""

import asyncio
import json
import statistics
import time
from contextlib import AsyncExitStack

import uvloop
from uvicorn.server import ServerState

from tests.faults.clients import Clients
from tests.faults.serve import serving
from tests.servers.harness import Peer, Server, connected, text

ROUNDS = 3
SECONDS = 5
RATE = 100
READERS = 180
DEAF = 20
ALLOWED = 1.5


async def listen(peer: Peer, times: list[float]) -> None:
    for _ in range(SECONDS * RATE):
        said = json.loads(await peer.text())
        times.append(time.monotonic() - float(said["text"]))


async def busy_room(deaf: int) -> tuple[list[float], float]:
    """The times of all messages to all readers, and MiB that the server has grown by."""
    join = {"type": "join", "room": "live-busy"}
    times: list[float] = []
    with serving("app", send_buffer=2**16) as server:
        address = Server(server.port, ServerState())
        async with Clients(server.port) as clients, AsyncExitStack() as stack:
            for number in range(deaf):
                await clients.enter_deaf(f"deaf{number}", **join)
            peers = []
            for number in range(READERS):
                peer = await stack.enter_async_context(connected(address, path=f"/ws?name=reader{number}"))
                peer.send(text(json.dumps(join)))
                await peer.text()
                peers.append(peer)
            before = server.resident()
            listening = [asyncio.create_task(listen(peer, times)) for peer in peers]
            began = time.monotonic()
            for number in range(SECONDS * RATE):
                await asyncio.sleep(began + number / RATE - time.monotonic())
                now = f"{time.monotonic():1000.9f}"
                peers[0].send(text(json.dumps({"type": "say", "room": "live-busy", "text": now})))
            await asyncio.gather(*listening)
            return times, (server.resident("VmHWM") - before) / 2**20


def percentile(times: list[float], percent: int) -> float:
    """In milliseconds."""
    return statistics.quantiles(times, n=100)[percent - 1] * 1000


async def main() -> None:
    found: dict[int, list[float]] = {0: [], DEAF: []}
    print(
        f"{READERS} readers, {RATE} messages of 1 KB a second for {SECONDS} s; what comes: {READERS * RATE} a second"
    )
    for _ in range(ROUNDS):
        for deaf, p99 in found.items():
            times, growth = await busy_room(deaf)
            p99.append(percentile(times, 99))
            print(
                f"{deaf:3} never read: p50 {percentile(times, 50):6.2f} ms, p99 {p99[-1]:6.2f} ms, {growth:5.1f} MiB more"
            )
    ratio = statistics.median(found[DEAF]) / statistics.median(found[0])
    print(f"{ratio:.2f} times the p99 of a room in which all read; {ALLOWED} are allowed")


if __name__ == "__main__":
    uvloop.run(main())
