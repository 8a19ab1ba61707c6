"""A text that is too long is cut to what the document allows, instead of being refused."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document

CHECK = "negative_data_rejection"
ANSWERS = {"saved": {"text": TEXT}}
DOCUMENT = document({"save": ({"text": TEXT}, ("saved",))}, ANSWERS)
LENIENT = document({"save": ({"text": {"type": "string", "minLength": 1}}, ("saved",))}, ANSWERS)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "save", "text": "0" * 21}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def save(socket: WebSocket) -> None:
        async with Peer(socket, LENIENT if bug else DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                peer.answer(message, "saved", text=message["text"][:20])

    return app
