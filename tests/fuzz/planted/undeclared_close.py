"""Who loses is closed with 4001, and the document knows 4000 only."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import Peer, document

CHECK = "undeclared_close"
DOCUMENT = document(
    {"guess": ({"number": {"type": "integer", "minimum": 1, "maximum": 10}}, ("answer",))},
    {"answer": {"right": {"type": "boolean"}}},
    closes=["4000"],
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {
        "do": "burst",
        "sends": [
            {"client": 0, "message": {"type": "guess", "number": 1}},
            {"client": 0, "message": {"type": "guess", "number": 1}},
        ],
    },
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def game(socket: WebSocket) -> None:
        wrong = 0
        async with Peer(socket, DOCUMENT) as peer:
            while wrong < 2:
                message = await peer.receive()
                if message is None:
                    return
                peer.answer(message, "answer", right=message["number"] == 7)
                wrong += message["number"] != 7
            await peer.close(4001 if bug else 4000)

    return app
