"""Each message gets a task of its own, so that an easy question is answered before a hard one that came first."""

import asyncio

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import Body, Peer, document

CHECK = "order"
DOCUMENT = document(
    {"ask": ({"hard": {"type": "boolean"}}, ("told",))}, {"told": {"hard": {"type": "boolean"}}}
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {
        "do": "burst",
        "sends": [
            {"client": 0, "message": {"type": "ask", "hard": True, "id": 1}},
            {"client": 0, "message": {"type": "ask", "hard": False, "id": 2}},
        ],
    },
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()
    tasks: set[asyncio.Task[None]] = set()

    async def think(peer: Peer, message: Body) -> None:
        for _ in range(20 if message["hard"] else 1):
            await asyncio.sleep(0)
        peer.answer(message, "told", hard=message["hard"])

    @app.websocket("/ws")
    async def oracle(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                if bug:
                    task = asyncio.create_task(think(peer, message))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    await think(peer, message)

    return app
