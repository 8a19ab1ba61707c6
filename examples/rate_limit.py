"""Limit how often a user may send: per message type in a protocol, per frame on a plain endpoint.

Run it with ``protocol run examples.rate_limit:app``. Who is too fast gets the error ``rate_limited`` with
``retry_after``, and nothing reaches the handler or the endpoint.
"""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol, Rate
from protocol.middleware import RateLimitMiddleware


class Vote(Message, type="vote"):
    option: str


class Count(Message, type="count"):
    """Ask for the votes so far."""


class Votes(Message, type="votes"):
    options: dict[str, int]


poll = MessageProtocol("Poll", path="/poll")
votes: dict[str, int] = {}


# One vote every ten seconds, and three at once.
@poll.on(Vote, rate_limit=Rate(0.1, burst=3))
async def vote(message: Vote) -> None:
    votes[message.option] = votes.get(message.option, 0) + 1


@poll.on(Count, emits=Votes)
async def count(message: Count) -> Votes:
    return Votes(options=votes)


app = FastAPI(middleware=[Middleware(RateLimitMiddleware, rate=Rate(1, burst=2), paths=["/echo"])])
app.include_router(poll.router)


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass
