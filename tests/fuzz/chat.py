"""The chat application as the fuzzer sees it: fresh ones, and users with tokens."""

from functools import cache

from fastapi import FastAPI

from examples.chat.accounts import Accounts
from examples.chat.app import create_app as create_chat_app
from examples.chat.settings import Settings

SETTINGS = Settings(secret="for the fuzzer only, and for nobody else")
_ACCOUNTS = Accounts(SETTINGS.secret, 1e6)


def create_app() -> FastAPI:
    """A fresh chat application."""
    return create_chat_app(SETTINGS)


@cache
def login(client: int) -> str:
    """The token of a client's user."""
    return _ACCOUNTS.token(f"user-{client}").access_token
