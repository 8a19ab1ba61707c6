"""The functions by which somebody says who a client is, and what it sends first."""

from collections.abc import Callable, Coroutine
from typing import Any

from protocol.exceptions import ConfigurationError


def answer_of(
    hook: Callable[[int], Any], client: int, *, name: str, kinds: tuple[type, ...], wanted: str
) -> Any:
    """What ``hook`` says of a client: one of ``kinds``, which are called ``wanted``. ``name``: that of the option.

    Raises ``ConfigurationError`` where it fails, or says something else: that is no failure of the server.
    """
    try:
        found = hook(client)
    except Exception as error:
        raise ConfigurationError(f"{name} failed for client {client}: {error!r}") from error
    if isinstance(found, Coroutine):
        found.close()
        raise ConfigurationError(f"{name} is a coroutine function: give a function that returns {wanted}.")
    if not isinstance(found, kinds):
        raise ConfigurationError(
            f"{name} has to return {wanted}, and returned {found!r} for client {client}."
        )
    return found
