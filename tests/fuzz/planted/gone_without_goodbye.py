"""The endpoint returns where it should have closed: the client sees 1006, as after a crash."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document

CHECK = "server_error"
DOCUMENT = document(
    {"echo": ({"text": TEXT}, ("echoed",)), "quit": ({}, ("bye",))}, {"echoed": {"text": TEXT}, "bye": {}}
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "quit"}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                if message["type"] == "echo":
                    peer.answer(message, "echoed", text=message["text"])
                    continue
                peer.answer(message, "bye")
                if not bug:
                    await peer.close(1000)
                return

    return app
