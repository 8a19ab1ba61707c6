"""Let in who shows a JSON Web Token, know who it is, and close when the token runs out.

Run it with ``protocol run examples.jwt_auth:app``, get a token by
``curl -X POST 'http://127.0.0.1:8000/token?name=ada'``, and connect to ``ws://127.0.0.1:8000/ws?token=…``.
"""

import time
from typing import Final

import jwt
from fastapi import FastAPI
from starlette.middleware import Middleware

from protocol import Message, MessageProtocol, User
from protocol.middleware import JWTAuthMiddleware

KEY: Final = "a demo key: take one of at least 32 random bytes from the environment"


class WhoAmI(Message, type="who_am_i"):
    """Ask for what the token says."""


class YouAre(Message, type="you_are"):
    user: str
    expires: int


whoami = MessageProtocol("Who am I")


@whoami.on(WhoAmI, emits=YouAre)
async def who_am_i(message: WhoAmI, user: User) -> YouAre:
    return YouAre(user=user.id, expires=user.claims["exp"])


app = FastAPI(middleware=[Middleware(JWTAuthMiddleware, key=KEY)])
app.include_router(whoami.router)


@app.post("/token")
async def token(name: str) -> str:
    """A token for five minutes. A real application checks a password first, as ``examples/chat`` does."""
    return jwt.encode({"sub": name, "exp": int(time.time()) + 300}, KEY, "HS256")
