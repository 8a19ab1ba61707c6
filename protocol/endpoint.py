"""The router of a protocol: its sockets and its document, as FastAPI serves them.

Each path is an endpoint that only accepts, inside of ``ProtocolMiddleware``. Who connects is found out before
that by FastAPI's own dependencies.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Depends, Request, Response, WebSocket
from fastapi.responses import JSONResponse

from protocol.asyncapi import Described, at, build
from protocol.asyncapi.served import SPEAKS, routes_of
from protocol.exceptions import ConfigurationError, LocalProtocolError
from protocol.middleware.protocol import SERVE, ProtocolMiddleware, Served
from protocol.types import Receive, Scope, Send, User


class Routed(Served, Described, Protocol):
    """The protocol, as its router sees it."""

    @property
    def paths(self) -> Sequence[str]: ...

    @property
    def user(self) -> Callable[..., Any] | None:
        """The dependency that says who connects."""

    @property
    def asyncapi_url(self) -> str | None:
        """Where the document is served."""


async def _accept(scope: Scope, receive: Receive, send: Send) -> None:
    await scope[SERVE]()


class _Socket:
    """The endpoint of each path. ``protocol`` is found there by the walk of the document."""

    def __init__(self, protocol: Routed) -> None:
        self.protocol = protocol
        self._middleware = ProtocolMiddleware(_accept, protocol)
        # FastAPI reads the signature, and the dependency is known at this point only.
        parameters = [inspect.Parameter("websocket", inspect.Parameter.KEYWORD_ONLY, annotation=WebSocket)]
        if protocol.user is not None:
            annotation = Annotated[Any, Depends(protocol.user)]
            parameters.append(
                inspect.Parameter("user", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
            )
        self.__signature__ = inspect.Signature(parameters)

    async def __call__(self, websocket: WebSocket, user: object = None) -> None:
        if isinstance(user, User):
            websocket.scope["user"] = user
        elif user is not None:
            raise LocalProtocolError(
                f"The dependency user= of the protocol {self.protocol.title!r} has to return a User, or None for "
                f"nobody, not {type(user).__name__}."
            )
        # Starlette's own methods check what has been sent and received, and so does the middleware.
        receive = getattr(websocket, "_receive", websocket.receive)
        send = getattr(websocket, "_send", websocket.send)
        await self._middleware(websocket.scope, receive, send)


def router_of(protocol: Routed) -> APIRouter:
    """Make the router that serves ``protocol``."""
    socket = _Socket(protocol)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        _check_apart(app)
        await protocol.nodes.of({"app": app})
        try:
            yield
        finally:
            await protocol.nodes.close(app)

    router = APIRouter(lifespan=lifespan)
    for path in protocol.paths:
        router.add_api_websocket_route(path, socket, name=protocol.title)
    if protocol.asyncapi_url is not None:
        # A route of Starlette's: there is nothing for FastAPI to find out about it.
        router.add_route(protocol.asyncapi_url, _document_of(protocol), include_in_schema=False)
    return router


def _document_of(protocol: Routed) -> Callable[[Request], Response]:
    made: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()

    def asyncapi(request: Request) -> Response:
        """The AsyncAPI document, for the address at which it is asked for."""
        app, url = request.app, request.url
        if app not in made:
            _check_apart(app)
            made[app] = build(app, protocol)
        scheme = "wss" if url.scheme == "https" else "ws"
        return JSONResponse(at(made[app], f"{scheme}://{url.netloc}{request.scope.get('root_path', '')}"))

    setattr(asyncapi, SPEAKS, protocol)
    return asyncapi


def _check_apart(app: Any) -> None:
    """Refuse two protocols at one path, of which only the first would ever be reached."""
    found: dict[tuple[str, str], Any] = {}
    for route in routes_of(app):
        protocol = getattr(getattr(route, "endpoint", None), SPEAKS, None)
        if protocol is None:
            continue
        option = "path" if getattr(route, "methods", None) is None else "asyncapi_url"
        first = found.setdefault((option, route.path), protocol)
        if first is not protocol:
            raise ConfigurationError(
                f"The protocols {first.title!r} and {protocol.title!r} have the same {option}, {route.path!r}, so that "
                f"nobody can reach that of {protocol.title!r}. Give each its own: MessageProtocol({protocol.title!r}, "
                f"{option}=…), or a prefix to its router."
            )
