"""Put a protocol around a WebSocket endpoint that exists already.

``ProtocolMiddleware`` answers frames that are no message, and messages that have a handler; the endpoint gets the rest, as
text that is known to be valid. What the endpoint sends is checked too.

Run it with ``protocol run examples.custom_protocol:app``.
"""

from typing import Annotated

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import Field
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol
from protocol.middleware import ProtocolMiddleware


class Move(Message, type="move"):
    x: Annotated[int, Field(ge=0, le=7)]
    y: Annotated[int, Field(ge=0, le=7)]


class Moved(Message, type="moved"):
    moves: int


class Rules(Message, type="rules"):
    """Ask how to play."""


class RuleBook(Message, type="rule_book"):
    text: str


# The endpoint's own messages are declared, so that they are validated; Rules is handled here.
game = MessageProtocol("Game", receives=Move, sends=Moved)


@game.on(Rules, emits=RuleBook)
async def rules(message: Rules) -> RuleBook:
    return RuleBook(text="Move to a square of the board.")


app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=game, path="/game/{name}")])


@app.websocket("/game/{name}")
async def play(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    moves = 0
    try:
        while True:
            # The client's own text: an id may stand beside the message.
            Move.model_validate_json(await websocket.receive_text(), extra="ignore")
            moves += 1
            await websocket.send_text(Moved(moves=moves).model_dump_json())
    except WebSocketDisconnect:
        pass
