"""The application: the chat protocol behind the recommended stack, its page, and what operators look at."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict
from starlette.middleware import Middleware

from examples.chat import accounts
from examples.chat.accounts import ALGORITHM, Accounts, current_user
from examples.chat.settings import Settings
from handlers.direct import direct_router
from handlers.presence import presence_router
from handlers.rooms import rooms_router
from protocol import MessageProtocol, Rate, User
from protocol.middleware import JWTAuthMiddleware, Metrics, RateLimitMiddleware, recommended
from protocol.transforms import Censor
from schemas.direct import Whisper
from schemas.names import RoomName, Text
from schemas.rooms import Said, Say

STATIC = Path(__file__).parent / "static"

# The page loads nothing from elsewhere and runs nothing that is not in its files.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def create_chat(settings: Settings, censor: Censor) -> MessageProtocol:
    """The chat protocol, with what the settings say of it."""
    chat = MessageProtocol(
        "Chat",
        path=("/ws", "/ws/{room}"),
        broker=settings.broker,
        max_rooms=settings.rooms_per_connection,
    )
    messages = Rate(settings.rate, burst=settings.burst)
    chat.include_router(rooms_router(messages=messages, memberships=Rate(10, burst=64)))
    chat.include_router(direct_router(messages=messages))
    chat.include_router(presence_router(messages=messages))
    chat.transform(types=(Say, Whisper))(censor)
    return chat


class Announcement(BaseModel):
    """What is to be said in a room."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Text


# What belongs to one application is in its state, so that these are made once.
router = APIRouter()


@router.post("/rooms/{room}/announce", status_code=202)
async def announce(
    request: Request, room: RoomName, announcement: Announcement, user: Annotated[User, Depends(current_user)]
) -> dict[str, Any]:
    """Say something in a room without being connected. What is no inbound message is censored here."""
    app = request.app
    said = app.state.censor(Said(room=room, user=user.id, text=announcement.text, at=datetime.now(UTC)))
    delivery = await app.state.chat.at(app).rooms[room].publish(said)
    return {"receivers": delivery.receivers, "offset": delivery.position and delivery.position.offset}


async def echo(websocket: WebSocket) -> None:
    """A plain endpoint, without a protocol: authentication, limits and rate limit stand before it too."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    return {"status": "ok", **request.app.state.metrics.snapshot()}


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(STATIC / "index.html", headers=PAGE_HEADERS)


def create_app(settings: Settings | None = None) -> FastAPI:
    """A fresh application, with a state of its own."""
    settings = Settings() if settings is None else settings
    censor = Censor(settings.censored, fields=("text",))
    chat = create_chat(settings, censor)
    metrics = Metrics()
    app = FastAPI(
        title="Chat",
        middleware=[
            *recommended(
                Middleware(JWTAuthMiddleware, key=settings.secret, algorithms=(ALGORITHM,), refuse="auto"),
                origins=settings.allowed_origins,
                per_user=settings.connections_per_user,
                per_address=settings.connections_per_address,
                metrics=metrics,
                # The page learns by the close code why it was refused; a program by the HTTP status.
                refuse="auto",
            ),
            Middleware(RateLimitMiddleware, rate=Rate(5, burst=10), paths=["/echo"]),
        ],
    )
    app.state.accounts = Accounts(settings.secret, settings.token_seconds)
    app.state.chat, app.state.censor, app.state.metrics = chat, censor, metrics
    app.include_router(chat.router)
    app.include_router(accounts.router)
    app.include_router(router)
    app.add_api_websocket_route("/echo", echo)
    app.get("/metrics")(metrics.prometheus())
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


app = create_app()
