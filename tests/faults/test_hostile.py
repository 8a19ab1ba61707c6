"""Many hostile peers at once, on a server that has somebody to serve."""

import asyncio
import zlib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from uvicorn.server import ServerState

from tests.faults.clients import Clients
from tests.faults.serve import serving
from tests.servers.harness import CONT, TEXT, Peer, Server, connected, frame, handshake, raw, text

ALLOWED = 20 * 2**20
"""Bytes that all of them together may cost."""


def bomb(size: int) -> bytes:
    """A compressed text that is ``size`` bytes long."""
    compress = zlib.compressobj(wbits=-12)
    return frame(TEXT, compress.compress(bytes(size)) + compress.flush(zlib.Z_SYNC_FLUSH)[:-4], rsv=4)


CLOSED = {
    "deflate bombs": (bomb(2**20 * 50), 1009),
    "deflate bombs of a megabyte as they come": (frame(TEXT, bytes(2**20), rsv=4), 1009),
    "the longest frame": (b"\x81\xff" + (2**63 - 1).to_bytes(8) + b"abcd", 1009),
    "fragments without end": (frame(TEXT, fin=False) + frame(CONT, fin=False) * 5000, 1009),
    "frames of two bytes": (b"\x83\xff", 1002),
    "invalid UTF-8": (frame(TEXT, b"\xff" * 1000), 1007),
    "a flood of broken frames": (text("{") * 50, 3509),
}


async def attack(server: Server, kind: str) -> None:
    data, code = CLOSED[kind]
    headers = ("Sec-WebSocket-Extensions: permessage-deflate",)
    async with connected(server, *headers, path="/ws?name=eve") as peer:
        peer.send(data)
        assert (await peer.closed())[0] == code


async def never_finish(peer: Peer, *, head: bytes) -> int:
    """The status that a handshake gets which does not come to its end."""
    peer.send(head)
    return (await peer.response())[0]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_twenty_of_each_are_closed_with_their_code_and_cost_little() -> None:
    slow = "tests.faults.application:ImpatientHTTP"
    with serving("app", ws_per_message_deflate=True, http=slow) as server:
        address = Server(server.port, ServerState())
        async with Clients(server.port) as clients, AsyncExitStack() as stack:
            ann = await clients.enter("ann")
            await attack(address, "invalid UTF-8")
            before = server.resident()
            idle = [await stack.enter_async_context(raw(address)) for _ in range(20)]
            answers = [
                asyncio.create_task(never_finish(peer, head=handshake()[: 20 + number]))
                for number, peer in enumerate(idle)
            ]
            for kind in CLOSED:
                await asyncio.gather(*(attack(address, kind) for _ in range(20)))
                assert (await ann.request(type="ping"))["type"] == "pong"
            assert await asyncio.gather(*answers) == [408] * 20
            growth = server.resident("VmHWM") - before
            print(f"{growth / 2**20:.1f} MiB more at the worst")
            assert growth < ALLOWED
        assert "Traceback" not in server.log
