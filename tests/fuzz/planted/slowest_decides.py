"""A broadcast waits until each client has read it, and one that does not read holds up all the others."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document

CHECK = "liveness"
DOCUMENT = document({"tell": ({"text": TEXT}, ("ack",))}, {"ack": {}, "told": {"text": TEXT}})
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "connect", "client": 1},
    {"do": "pause", "client": 1},
    {"do": "send", "client": 0, "message": {"type": "tell", "text": "0"}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()
    peers: dict[Peer, None] = {}

    @app.websocket("/ws")
    async def tell(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            peers[peer] = None
            try:
                while (message := await peer.receive()) is not None:
                    for other in list(peers):
                        other.send("told", text=message["text"])
                        if bug:
                            await other.drained()
                    peer.answer(message, "ack")
            finally:
                del peers[peer]

    return app
