"""The sockets of a served application, found by walking its routes and its middleware.

Where a protocol is served, behind what, and what its handshake takes. What a document makes of that is
:mod:`protocol.asyncapi.builder`'s business.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute, compile_path

from protocol.routing import MessageRouter

SPEAKS: Final = "protocol"
"""The attribute of an endpoint, and the option of a middleware, that names the protocol it speaks."""

_signature: Callable[[type], inspect.Signature] = cache(inspect.signature)


@dataclass(frozen=True, slots=True)
class Layer:
    """A middleware around a socket, and its options."""

    cls: type
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Socket:
    """One path at which a protocol is served.

    ``path``: from the root of the application, parameters in braces. ``converters``: their types, where the
    path names one. ``layers``: the middleware around it, outermost first. ``dependant``: what FastAPI solves
    before it, where it is an endpoint of FastAPI's.
    """

    protocol: MessageRouter
    path: str
    converters: Mapping[str, str]
    layers: tuple[Layer, ...]
    dependant: Dependant | None


def sockets(app: Any) -> Iterator[Socket]:
    """Every socket of ``app`` that speaks a protocol, those of mounted applications too."""
    yield from _sockets(app, "", ())


def routes_of(app: Any) -> Iterable[Any]:
    """The routes of ``app`` that may have to do with a protocol, each with its whole ``path``, and maybe others.

    Those of its routers too, but not those of what is mounted.
    """
    # FastAPI makes all routes of an included router anew when it is asked for one of them.
    return iter_route_contexts([route for route in app.routes if _may_speak(route)])


def protocols(app: Any) -> list[MessageRouter]:
    """The protocols that ``app`` serves, each once."""
    return list({id(socket.protocol): socket.protocol for socket in sockets(app)}.values())


def _sockets(app: Any, mount: str, layers: tuple[Layer, ...]) -> Iterator[Socket]:
    if hasattr(app, "routes"):
        yield from _routed(app, mount, (*layers, *_layers(getattr(app, "user_middleware", ()))))
        return
    if not hasattr(app, "app"):
        return
    layer = Layer(type(app), vars(app))
    path = layer.options.get("path")
    if (
        isinstance(spoken := layer.options.get(SPEAKS), MessageRouter)
        and not hasattr(app.app, "routes")
        and path
    ):
        yield _socket(spoken, mount + path, layers, None)
    yield from _sockets(app.app, mount, (*layers, layer))


def _routed(app: Any, mount: str, layers: tuple[Layer, ...]) -> Iterator[Socket]:
    for route in routes_of(app):
        original, path = route.original_route, route.path or ""
        if isinstance(original, Mount):
            yield from _sockets(original.app, mount + path, layers)
        elif isinstance(original, WebSocketRoute):
            own = getattr(route.endpoint, SPEAKS, None)
            spoken = own if isinstance(own, MessageRouter) else _spoken(layers, mount, path)
            if spoken is not None:
                yield _socket(spoken, mount + path, layers, getattr(route, "dependant", None))


def _may_speak(route: Any) -> bool:
    included = getattr(route, "original_router", None)
    if included is not None:
        return any(map(_may_speak, included.routes))
    return isinstance(route, Mount | WebSocketRoute) or hasattr(getattr(route, "endpoint", None), SPEAKS)


def _spoken(layers: tuple[Layer, ...], mount: str, path: str) -> MessageRouter | None:
    """The protocol that a middleware speaks over an endpoint at ``path``."""
    for layer in reversed(layers):
        protocol, over = layer.options.get(SPEAKS), layer.options.get("path")
        if isinstance(protocol, MessageRouter) and (over is None or over in {path, mount + path}):
            return protocol
    return None


def _socket(
    protocol: MessageRouter, path: str, layers: tuple[Layer, ...], dependant: Dependant | None
) -> Socket:
    _, address, found = compile_path(path)
    converters = {
        name: type(converter).__name__.removesuffix("Convertor").lower() for name, converter in found.items()
    }
    return Socket(protocol, address, converters, layers, dependant)


def _layers(middleware: Iterable[Middleware]) -> Iterator[Layer]:
    for cls, args, kwargs in middleware:
        if isinstance(cls, type):
            bound = _signature(cls).bind(None, *args, **kwargs)
            bound.apply_defaults()
            yield Layer(cls, bound.arguments)
