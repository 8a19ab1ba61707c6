"""All middleware around one endpoint, in the order that protects best.

``recommended`` returns a plain list, outermost first: monitoring, logging, origin, limits per address and in all,
authentication, limit per user. ``app.add_middleware`` would need the reverse order. Message limits stand innermost.

Run it with ``protocol run examples.stack:app``.
"""

from typing import Final

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.middleware import Middleware

from protocol import Rate
from protocol.middleware import JWTAuthMiddleware, Metrics, RateLimitMiddleware, recommended

KEY: Final = "a demo key: take one of at least 32 random bytes from the environment"

metrics = Metrics()
app = FastAPI(
    middleware=[
        *recommended(
            Middleware(JWTAuthMiddleware, key=KEY),
            origins=["https://chat.example"],
            per_user=5,
            per_address=50,
            total=10_000,
            metrics=metrics,
        ),
        Middleware(RateLimitMiddleware, rate=Rate(10, burst=40)),
    ]
)


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(f"{websocket.user.id}: {await websocket.receive_text()}")
    except WebSocketDisconnect:
        pass
