"""A server that serves those only who offer its subprotocol."""

from fastapi import FastAPI

from protocol import Connection, Disconnect, Message, MessageProtocol


class Note(Message, type="note"):
    text: str


def create_app() -> FastAPI:
    notes = MessageProtocol("Notes", subprotocols=("picky.v1",))

    @notes.on_connect
    async def connected(connection: Connection) -> None:
        if "picky.v1" not in connection.headers.get("sec-websocket-protocol", ""):
            raise Disconnect(4500, "picky.v1 is spoken here")

    @notes.on(Note)
    async def note(message: Note) -> None: ...

    app = FastAPI()
    app.include_router(notes.router)
    return app
