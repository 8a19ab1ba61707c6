"""The document allows no other members, and the server ignores them, as pydantic does unless told otherwise."""

from copy import deepcopy

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document

CHECK = "negative_data_rejection"
DOCUMENT = document({"note": ({"text": TEXT}, ("ack",))}, {"ack": {}})
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "note", "text": "0", "extra": 0}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()
    takes = deepcopy(DOCUMENT)
    if bug:
        del takes["channels"]["ws"]["messages"]["receive.note"]["payload"]["additionalProperties"]

    @app.websocket("/ws")
    async def notes(socket: WebSocket) -> None:
        async with Peer(socket, takes) as peer:
            while (message := await peer.receive()) is not None:
                peer.answer(message, "ack")

    return app
