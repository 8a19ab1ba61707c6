"""What a command line names: ``MODULE:APP``, ``MODULE:FACTORY``, a file, a URL, or a message."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from fastapi import FastAPI
from starlette.applications import Starlette

from protocol.application import MessageProtocol
from protocol.exceptions import ConfigurationError
from protocol.testing.steps import Opening

SECONDS: Final = 30.0
"""How long a URL may take to answer."""


def imported(target: str) -> Any:
    """What ``MODULE:NAME`` names. Raises ``ConfigurationError``."""
    module, _, name = target.partition(":")
    sys.path.insert(0, "")
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{target} cannot be imported: {error}") from error
    return found


def factory(target: str) -> Callable[[], Any]:
    """The function that ``MODULE:FACTORY`` names; for an application or a protocol, one that returns it, served.

    Raises ``ConfigurationError``.
    """
    found = imported(target)
    if isinstance(found, MessageProtocol):
        return lambda: served(found)
    if isinstance(found, Starlette):
        return lambda: found
    if not callable(found):
        raise ConfigurationError(
            f"{target} is neither an application, nor a function that makes one, nor a protocol, but of the type "
            f"{type(found).__name__}."
        )
    return found  # type: ignore[no-any-return]


def served(protocol: MessageProtocol) -> FastAPI:
    """An application that serves ``protocol`` and nothing else."""
    app = FastAPI()
    app.include_router(protocol.router)
    return app


def opening(text: str) -> Opening:
    """What a client sends first: a JSON object, or the function that ``MODULE:FUNC`` names.

    Raises ``ConfigurationError``.
    """
    if not is_message(text):
        found: Opening = imported(text)
        return found
    try:
        message: Opening = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"--opening is no JSON: {error}") from None
    return message


def is_message(opening: str) -> bool:
    """Whether an opening is said as a message, and not by the name of a function."""
    return opening.lstrip().startswith("{")


def read(place: str) -> str:
    """The text of a file, or at a URL. Raises ``ConfigurationError``."""
    try:
        if place.startswith(("http://", "https://")):
            with urlopen(place, timeout=SECONDS) as response:  # noqa: S310 the scheme is checked above
                return str(response.read().decode())
        return Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{place} cannot be read: {error}") from error
