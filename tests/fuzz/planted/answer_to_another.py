"""Who is to be answered is kept in a variable of the application, which another connection changes meanwhile."""

import asyncio

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document

CHECK = "request_reply"
DOCUMENT = document({"look_up": ({"word": TEXT}, ("meaning",))}, {"meaning": {"word": TEXT}})
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "connect", "client": 1},
    {
        "do": "burst",
        "sends": [
            {"client": 0, "message": {"type": "look_up", "word": "0", "id": 1}},
            {"client": 1, "message": {"type": "look_up", "word": "0", "id": 2}},
        ],
    },
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()
    current: list[Peer] = []

    @app.websocket("/ws")
    async def dictionary(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                current[:] = [peer]
                await asyncio.sleep(0.01)  # as long as looking it up takes
                (current[0] if bug else peer).answer(message, "meaning", word=message["word"])

    return app
