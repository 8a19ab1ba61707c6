"""A price that is too high gets an answer of a type that the document does not have."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import COUNT, Peer, document

CHECK = "message_conformance"
DOCUMENT = document(
    {"bid": ({"amount": COUNT}, ("bid_taken",))},
    {"bid_taken": {"amount": COUNT}},
    errors=["too_much"],
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "bid", "amount": 1001}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def auction(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                if message["amount"] <= 1000:
                    peer.answer(message, "bid_taken", amount=message["amount"])
                elif bug:
                    peer.answer(message, "bid_refused", amount=message["amount"])
                else:
                    peer.answer(message, "error", code="too_much")

    return app
