"""Who joins a room again is in its list twice, and hears everything twice."""

from collections import defaultdict

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import ROOM, TEXT, Peer, document

CHECK = "order"
DOCUMENT = document(
    {"join": ({"room": ROOM}, ("ack",)), "say": ({"room": ROOM, "text": TEXT}, ("ack",))},
    {"ack": {}, "said": {"room": ROOM, "text": TEXT, "offset": {"type": "integer"}}},
    errors=["not_a_member"],
)
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a"}},
    {"do": "send", "client": 0, "message": {"type": "join", "room": "a"}},
    {"do": "send", "client": 0, "message": {"type": "say", "room": "a", "text": "0"}},
]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()
    rooms: defaultdict[str, list[Peer]] = defaultdict(list)
    offsets: defaultdict[str, int] = defaultdict(int)

    @app.websocket("/ws")
    async def chat(socket: WebSocket) -> None:
        async with Peer(socket, DOCUMENT) as peer:
            while (message := await peer.receive()) is not None:
                room = message["room"]
                inside = peer in rooms[room]
                if message["type"] == "join":
                    if not inside or bug:
                        rooms[room].append(peer)
                elif inside:
                    offsets[room] += 1
                    for member in rooms[room]:
                        member.send("said", room=room, text=message["text"], offset=offsets[room])
                else:
                    peer.answer(message, "error", code="not_a_member")
                    continue
                peer.answer(message, "ack")
            for members in rooms.values():
                members[:] = [member for member in members if member is not peer]

    return app
