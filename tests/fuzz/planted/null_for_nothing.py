"""What is not found is answered with ``null``, which the document does not allow there."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import Peer, document

CHECK = "message_conformance"
SHELVES = {"apple": 1, "bread": 2}
DOCUMENT = document(
    {"find": ({"thing": {"enum": ["apple", "bread", "cheese"]}}, ("found", "missing"))},
    {"found": {"shelf": {"type": "integer"}}, "missing": {}},
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "find", "thing": "cheese"}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def find(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                shelf = SHELVES.get(message["thing"])
                if shelf is None and not bug:
                    peer.answer(message, "missing")
                else:
                    peer.answer(message, "found", shelf=shelf)

    return app
