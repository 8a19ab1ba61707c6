"""The average of no values is NaN, which ``json.dumps`` writes and JSON does not have."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import COUNT, Peer, document

CHECK = "message_conformance"
DOCUMENT = document(
    {"measure": ({"value": COUNT}, ("ack",)), "average": ({}, ("averaged",))},
    {"ack": {}, "averaged": {"value": {"type": "number"}}},
    errors=["no_values"],
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "average"}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def measure(socket: WebSocket) -> None:
        values: list[float] = []
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                if message["type"] == "measure":
                    values.append(message["value"])
                    peer.answer(message, "ack")
                elif values or bug:
                    peer.answer(
                        message, "averaged", value=sum(values) / len(values) if values else float("nan")
                    )
                else:
                    peer.answer(message, "error", code="no_values")

    return app
