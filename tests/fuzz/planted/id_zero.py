"""Whether a message has an id is asked by its truth, so that the ids 0 and "" are none."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import TEXT, Peer, document, reference

CHECK = "request_reply"
DOCUMENT = document({"upper": ({"text": TEXT}, ("uppered",))}, {"uppered": {"text": {"type": "string"}}})
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "upper", "text": "0", "id": 0}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def shout(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                found = {} if bug and not message.get("id") else reference(message)
                peer.send("uppered", text=message["text"].upper(), **found)

    return app
