"""Calls of coroutines without an event loop."""

from collections.abc import Coroutine
from typing import Any


def done(call: Coroutine[Any, Any, Any]) -> Any:
    """The result of a call that must not suspend."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    call.close()
    raise AssertionError("The call has suspended.")
