"""After the error of a withdrawal that goes too far a ``continue`` is missing, so that its balance follows."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import COUNT, Peer, document

CHECK = "request_reply"
DOCUMENT = document(
    {"withdraw": ({"amount": COUNT}, ("balance",))},
    {"balance": {"amount": COUNT}},
    errors=["too_much"],
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "withdraw", "amount": 101, "id": 1}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def account(socket: WebSocket) -> None:
        balance = 100
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                if message["amount"] > balance:
                    peer.answer(message, "error", code="too_much")
                    if not bug:
                        continue
                else:
                    balance -= int(message["amount"])
                peer.answer(message, "balance", amount=balance)

    return app
