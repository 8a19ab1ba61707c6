"""A server whose process ends at a message on a later connection. It prints its port."""

import os
import socket
from collections.abc import MutableMapping
from itertools import count
from typing import Any

from protocol.types import Receive, Scope, Send
from tests.fuzz import wrong_chat
from tests.threads import Server

LAST = 8


class Announced(Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.port, flush=True)


def main() -> None:
    """Serve until then."""
    app = wrong_chat.create_app()
    visits = count(1)

    async def mortal(scope: Scope, receive: Receive, send: Send) -> None:
        last = scope["type"] == "websocket" and next(visits) == LAST

        async def received() -> MutableMapping[str, Any]:
            event = await receive()
            if last and event["type"] == "websocket.receive":
                os._exit(1)
            return event

        await app(scope, received, send)

    Announced(mortal).run()


if __name__ == "__main__":
    main()
