"""Who closes is counted out, and who is gone without a close frame is counted for ever."""

from fastapi import FastAPI, WebSocket

from tests.fuzz.plain import COUNT

CHECK = "clean_room"
DOCUMENT = {
    "asyncapi": "3.0.0",
    "info": {"title": "Visitors", "version": "1.0.0"},
    "channels": {
        "visitors": {
            "address": "/ws",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in ("wave", "online")},
        }
    },
    "operations": {
        "wave": {"action": "receive", "channel": {"$ref": "#/channels/visitors"},
                 "messages": [{"$ref": "#/channels/visitors/messages/wave"}]},
        "online": {"action": "send", "channel": {"$ref": "#/channels/visitors"},
                   "messages": [{"$ref": "#/channels/visitors/messages/online"}]},
    },
    "components": {
        "schemas": {
            "online": {
                "type": "object",
                "properties": {"event": {"const": "online"}, "count": COUNT},
                "required": ["event", "count"],
                "additionalProperties": False,
            }
        },
        "messages": {
            "wave": {"payload": {"type": "object", "properties": {"event": {"const": "wave"}}, "required": ["event"]}},
            "online": {"payload": {"$ref": "#/components/schemas/online"}},
        },
    },
}  # fmt: skip
SHORTEST = [{"do": "connect", "client": 0}, {"do": "drop", "client": 0}]


def create_app(bug: bool) -> FastAPI:
    app = FastAPI()
    online = {"count": 0}

    @app.websocket("/ws")
    async def visit(socket: WebSocket) -> None:
        await socket.accept()
        online["count"] += 1
        await socket.send_json({"event": "online", "count": online["count"]})
        while (event := await socket.receive())["type"] == "websocket.receive":
            pass
        if event["code"] == 1000 or not bug:
            online["count"] -= 1

    return app
