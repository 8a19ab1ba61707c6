"""The id of a message is kept in a variable of the connection, so that the next one without an id gets it."""

from typing import Any

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document, reference

CHECK = "request_reply"
DOCUMENT = document({"echo": ({"text": TEXT}, ("echoed",))}, {"echoed": {"text": TEXT}})
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "echo", "text": "0", "id": 1}},
    {"do": "send", "client": 0, "message": {"type": "echo", "text": "0"}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        last: dict[str, Any] = {}
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                last = (reference(message) or last) if bug else reference(message)
                peer.send("echoed", text=message["text"], **last)

    return app
