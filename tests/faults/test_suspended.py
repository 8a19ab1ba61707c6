"""A handler that waits for longer than a peer may be silent."""

from typing import Any

import pytest
from uvicorn.server import ServerState

from tests.faults.clients import Clients
from tests.faults.serve import serving
from tests.servers.harness import PING, PONG, TEXT, Peer, Server, frame, handshake, raw, text

KEEPALIVE: dict[str, Any] = {"ws_ping_interval": 0.2, "ws_ping_timeout": 2}
SERVERS: dict[str, dict[str, Any]] = {
    "protocol": KEEPALIVE,
    "uvicorn": {**KEEPALIVE, "ws": "auto", "http": "auto"},
}


async def next_frame(peer: Peer) -> tuple[int, bytes]:
    """The next frame that is no ping; pings before it are answered."""
    while (seen := await peer.frame())[0] == PING:
        peer.send(frame(PONG, seen[1]))
    return seen


async def next_text(peer: Peer) -> str:
    opcode, payload = await next_frame(peer)
    assert opcode == TEXT, payload
    return payload.decode()


@pytest.mark.parametrize("name", SERVERS)
async def test_a_connection_lives_and_is_heard_while_its_handler_waits(name: str) -> None:
    with serving("app", **SERVERS[name]) as server:
        async with raw(Server(server.port, ServerState())) as peer:
            peer.send(handshake(path="/ws?name=ann"))
            assert (await peer.response())[0] == 101
            # Behind the one that waits there is another, which stock uvicorn pauses reading for.
            peer.send(text('{"type":"wait","id":"w"}'), text('{"type":"ping","id":"p"}'))
            for _ in range(20):  # twice as long as the peer may be silent
                opcode, payload = await peer.frame()
                assert opcode == PING
                peer.send(frame(PONG, payload))
            peer.send(frame(PING, b"there?"))
            assert await next_frame(peer) == (PONG, b"there?")
            peer.send(text('{"type":"cancel","ref":"w"}'))
            assert '"cancelled"' in await next_text(peer)
            assert await next_text(peer) == '{"type":"pong","ref":"p"}'


@pytest.mark.parametrize("name", SERVERS)
async def test_a_disconnect_cancels_the_handler_that_waits(name: str) -> None:
    with serving("app", **SERVERS[name]) as server:
        async with Clients(server.port) as clients:
            watch = await clients.enter("watch")
            await watch.request(type="join", room="live-watched")
            for end in ("close", "reset"):
                ann = await clients.enter(end)
                await ann.request(type="join", room="live-watched")
                await ann.send(type="wait")
                await ann.send(type="ping")
                if end == "close":
                    await ann.socket.close()
                else:
                    ann.reset()
                await watch.expect(type="left", user=end)
                assert end in (await watch.request(type="who_waited"))["users"]
