"""Documents to look at."""

from typing import Any

from fastapi import FastAPI

from protocol import MessageProtocol
from protocol.asyncapi import document, lint


def served(chat: MessageProtocol, **options: Any) -> dict[str, Any]:
    """The document of an application that serves ``chat``, without a finding."""
    app = FastAPI(**options)
    app.include_router(chat.router)
    found = document(app, chat)
    assert lint(found) == []
    return found


def of(reference: dict[str, str]) -> str:
    """The name of what a reference leads to."""
    return reference["$ref"].rpartition("/")[2]
