"""The chat application as these tests see it: with a secret that they know, and people who have tokens."""

import time
from typing import Any

import httpx
import jwt
from fastapi import FastAPI

from examples.chat.app import create_app
from examples.chat.settings import Settings
from protocol.testing import Client

SECRET = "a secret that the tests share with the application, of 64 bytes or more"


def create(**settings: Any) -> FastAPI:
    """A fresh application with these settings."""
    return create_app(Settings(secret=SECRET, **settings))


def token(name: str, **claims: Any) -> str:
    """A token for anybody, for a year unless ``exp`` says otherwise."""
    return jwt.encode({"sub": name, "exp": int(time.time()) + 365 * 86400} | claims, SECRET, "HS256")


def person(app: FastAPI, name: str, path: str = "/ws", **options: Any) -> Client:
    """A client that shows a token for ``name``."""
    return Client(app, path, headers={"Authorization": f"Bearer {token(name)}"}, **options)


def http(app: FastAPI, **options: Any) -> httpx.AsyncClient:
    """Plain requests to the application, in the same loop."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", **options)


def join(room: str, **since: Any) -> dict[str, Any]:
    """A ``join``; with ``offset`` and ``epoch``, one that resumes."""
    return {"type": "join", "room": room} | ({"since": since} if since else {})


def say(room: str, text: str) -> dict[str, Any]:
    return {"type": "message", "room": room, "text": text}


def types(client: Client) -> list[str]:
    """Of what has come and was not asked for yet."""
    return [frame["type"] for frame in client.frames]


def offsets(client: Client) -> list[int]:
    """Those of the messages that have come and were not asked for yet."""
    return [frame["offset"] for frame in client.frames if frame["type"] == "message"]
