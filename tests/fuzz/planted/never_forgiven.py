"""The problems of a broken frame are never cleared, so that all that follows on that connection is refused."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document, reference

CHECK = "positive_data_acceptance"
DOCUMENT = document({"note": ({"text": TEXT}, ("ack",))}, {"ack": {}})
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "text": ""},
    {"do": "send", "client": 0, "message": {"type": "note", "text": "0", "id": 1}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def notes(socket: WebSocket) -> None:
        problems: list[str] = []
        async with Peer(socket, DOCUMENT) as peer:
            while (event := await socket.receive())["type"] == "websocket.receive":
                message = peer.read(event.get("text"))
                if message is not None and message["type"] == "ping":
                    peer.answer(message, "pong")
                    continue
                if message is None:
                    problems.append("This is no message.")
                if problems:
                    peer.send("error", code="invalid_message", **reference(message or {}))
                elif message is not None:
                    peer.answer(message, "ack")
                if not bug:
                    problems.clear()

    return app
