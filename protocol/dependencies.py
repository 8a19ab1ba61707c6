"""FastAPI's dependencies for messages: ``Depends`` and ``Security`` around one message or hook.

The solver is FastAPI's own and private to it; this is the only module that calls it. A function without
dependencies never comes here.
"""

import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.exceptions import FastAPIError
from starlette.requests import HTTPConnection

from protocol.connection import Connection, message_scope
from protocol.exceptions import ConfigurationError, InvalidMessage
from protocol.types import Scope

Marker = params.Depends | params.Param


def marker_of(parameter: inspect.Parameter, metadata: Sequence[Any]) -> Marker | None:
    """What makes a parameter FastAPI's: ``Depends``, ``Security``, ``Query``, ``Header`` and so on."""
    for found in (parameter.default, *metadata):
        if isinstance(found, params.Depends | params.Param):
            return found
    return None


class Solver:
    """The dependencies of one function."""

    def __init__(self, parameters: Sequence[inspect.Parameter], place: str) -> None:
        def stub() -> None: ...

        stub.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        try:
            self._dependant: Dependant = get_dependant(path="", call=stub)
        except (FastAPIError, AssertionError, TypeError) as error:
            raise ConfigurationError(f"{place}: a dependency cannot be resolved: {error}") from error
        if any(dependant.body_params for dependant in _flat(self._dependant)):
            raise ConfigurationError(
                f"{place}: a dependency takes a body, and a socket has none. Take the values from the message, "
                f"or mark them as Query(), Header() or Cookie()."
            )
        if any(one.request_param_name or one.websocket_param_name for one in _flat(self._dependant)):
            raise ConfigurationError(
                f"{place}: a dependency takes a Request or a WebSocket, and a message is neither. Take "
                f"HTTPConnection, which is what both are, or Connection."
            )

    @asynccontextmanager
    async def solved(self, connection: HTTPConnection) -> AsyncIterator[dict[str, Any]]:
        """The values of the parameters; dependencies with ``yield`` end with the context.

        Raises ``InvalidMessage`` where the handshake's query or headers are not what a dependency takes.
        """
        async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
            # Messages of one connection may be under way at once, and each has stacks of its own.
            scope = {
                **connection.scope,
                "fastapi_inner_astack": request_stack,
                "fastapi_function_astack": function_stack,
            }
            # A connection stays the one that the handler gets, and shows this scope meanwhile.
            shown = connection if isinstance(connection, Connection) else HTTPConnection(scope)
            token = message_scope.set((shown, scope))
            try:
                found = await solve_dependencies(
                    request=shown,  # type: ignore[arg-type]
                    dependant=self._dependant,
                    dependency_overrides_provider=scope.get("app"),
                    async_exit_stack=request_stack,
                    embed_body_fields=False,
                )
            finally:
                message_scope.reset(token)
            if found.errors:
                raise InvalidMessage("The query or headers of the handshake are not what is needed here.")
            yield found.values
            if found.background_tasks is not None:
                await found.background_tasks()


def _flat(dependant: Dependant) -> list[Dependant]:
    return [dependant, *(inner for child in dependant.dependencies for inner in _flat(child))]


def detached(app: object) -> HTTPConnection:
    """What dependencies of a hook get where there is no connection: the application, and nothing of a client."""
    scope: Scope = {
        "type": "websocket",
        "app": app,
        "path": "/",
        "headers": [],
        "query_string": b"",
        "path_params": {},
        "state": {},
    }
    return HTTPConnection(scope)
