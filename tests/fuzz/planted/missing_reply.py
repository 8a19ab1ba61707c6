"""Of the cases of a chain of ``elif`` one is missing, and who asks for it waits for ever."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import Peer, document

CHECK = "request_reply"
DOCUMENT = document(
    {"turn": ({"to": {"enum": ["north", "east", "south", "west"]}}, ("turned",))},
    {"turned": {"degrees": {"enum": [0, 90, 180, 270]}}},
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "turn", "to": "west", "id": 1}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def compass(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                if message["to"] == "north":
                    peer.answer(message, "turned", degrees=0)
                elif message["to"] == "east":
                    peer.answer(message, "turned", degrees=90)
                elif message["to"] == "south":
                    peer.answer(message, "turned", degrees=180)
                elif not bug:
                    peer.answer(message, "turned", degrees=270)

    return app
