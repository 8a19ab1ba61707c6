"""A ticket that the server has given out is taken from a table without a look whether it is still there."""

import secrets

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import Peer, document

CHECK = "server_error"
TICKET = {"type": "string", "maxLength": 40}
DOCUMENT = document(
    {"buy": ({}, ("bought",)), "use": ({"ticket": TICKET}, ("welcome",))},
    {"bought": {"ticket": TICKET}, "welcome": {}},
    errors=["no_such_ticket"],
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "buy"}},
    *2
    * [
        {
            "do": "send",
            "client": 0,
            "message": {"type": "use", "ticket": ""},
            "refers": [{"at": ["ticket"], "member": "ticket"}],
        }
    ],
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()
    tickets: set[str] = set()
    sold: set[str] = set()

    @app.websocket("/ws")
    async def gate(socket: WebSocket) -> None:
        own: set[str] = set()
        try:
            async with Peer(socket, DOCUMENT) as peer:
                while (message := await peer.receive()) is not None:
                    if message["type"] == "buy":
                        ticket = secrets.token_hex(16)
                        for table in (own, tickets, sold):
                            table.add(ticket)
                        peer.answer(message, "bought", ticket=ticket)
                    elif message["ticket"] not in (sold if bug else tickets):
                        peer.answer(message, "error", code="no_such_ticket")
                    else:
                        tickets.remove(message["ticket"])
                        peer.answer(message, "welcome")
        finally:
            tickets.difference_update(own)
            sold.difference_update(own)

    return app
