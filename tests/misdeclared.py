"""What a misdeclaration is refused with, and declarations that many tests make."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from protocol import ConfigurationError, Message


class Join(Message, type="join"):
    room: str


class Leave(Message, type="leave"):
    room: str


class Ask(Message, type="ask"):
    pass


class Answer(Message, type="answer"):
    text: str


async def asked(message: Ask) -> None: ...


def refusal(declare: Callable[[], object]) -> str:
    """What is said of a declaration that is refused."""
    with pytest.raises(ConfigurationError) as caught:
        declare()
    return str(caught.value)


def place(function: Callable[..., Any]) -> str:
    """How a refusal names the function."""
    code = inspect.unwrap(function).__code__
    return f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"
