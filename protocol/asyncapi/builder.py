"""The AsyncAPI document of a protocol, as an application serves it.

https://www.asyncapi.com/docs/reference/specification/v3.1.0. A channel is a socket's path, a message a tag in one
direction with body and envelope as one, an operation a handler or a publication. What AsyncAPI has no place for is
in fields that begin with ``x-``.
"""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel

from protocol import codes
from protocol.asyncapi.handshake import Handshake
from protocol.asyncapi.payloads import Payloads, described, unique
from protocol.asyncapi.schemas import Schemas, key
from protocol.asyncapi.served import Layer, Socket, sockets
from protocol.envelope import Envelope
from protocol.exceptions import ConfigurationError, Reject
from protocol.limits import Rate
from protocol.middleware.connection_limit import ConnectionLimitMiddleware
from protocol.node import Plan, Settings
from protocol.pipeline import NO_STAGES
from protocol.records import Handler, Records, RoomRule
from protocol.rooms import PARAMETER
from protocol.routing import MessageRouter

VERSION: Final = "3.1.0"
SERVER: Final = "ws://localhost:8000"
"""Where ``protocol run`` serves."""

Object = dict[str, Any]

# A slow consumer is aborted, and sees no close frame: 3008 is for logs.
_CLOSE_CODES: Final = {
    **{
        str(code): {"reason": reason, "reconnect": codes.reconnects(code)}
        for code, reason in codes.REASONS.items()
        if code != codes.SLOW
    },
    "4000-4499": {"reason": "of the application", "reconnect": True},
    "4500-4999": {"reason": "of the application", "reconnect": False},
}
_REFUSALS: Final = {
    "401": "No valid token.",
    "403": "Not allowed: the origin, the user, or the room of the path.",
    "404": "No such path, or no such room.",
    "429": "Too many connections, or rooms; Retry-After says when to come back.",
    "503": "Not available now.",
}
_PATH_EXAMPLES: Final = {"integer": "1", "float": "1.5", "uuid": "6f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9"}


class Described(Protocol):
    """The protocol, as its document sees it."""

    @property
    def title(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def envelope(self) -> Envelope: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def receives(self) -> tuple[type[BaseModel], ...]: ...

    @property
    def sends(self) -> tuple[type[BaseModel], ...]: ...

    def freeze(self) -> Plan: ...

    def tree(self) -> Iterator[MessageRouter]: ...


def document(app: Any, protocol: Described, *, server: str = SERVER) -> Object:
    """The document of ``protocol`` as ``app`` serves it, at the URL ``server``.

    Raises ``ConfigurationError`` where ``app`` does not serve it.
    """
    return at(build(app, protocol), server)


def build(app: Any, protocol: Described) -> Object:
    """The document without the address, which :func:`at` fills in."""
    declaration: object = protocol
    found = [socket for socket in sockets(app) if socket.protocol is declaration]
    if not found:
        raise ConfigurationError(
            f"The application does not serve the protocol {protocol.title!r}: app.include_router(….router), or "
            f"app.add_middleware(ProtocolMiddleware, protocol=…)."
        )
    return _Builder(protocol).build(found)


def at(document: Object, server: str) -> Object:
    """A document that was built, served at the URL ``server``."""
    url = urlsplit(server)
    address: Object = {"host": url.netloc, "protocol": url.scheme}
    if path := url.path.rstrip("/"):
        address["pathname"] = path
    servers = {name: {**address, **one} for name, one in document["servers"].items()}
    http = url._replace(scheme=url.scheme.replace("ws", "http"), path=f"{path}/").geturl()
    components: Object = document["components"]
    if "securitySchemes" in components:
        schemes = {name: _absolute(one, http) for name, one in components["securitySchemes"].items()}
        components = {**components, "securitySchemes": schemes}
    return {**document, "servers": servers, "components": components}


def _absolute(scheme: Object, base: str) -> Object:
    """A security scheme with the URLs of its flows made absolute."""
    if "flows" not in scheme:
        return scheme
    flows = {
        name: {key: urljoin(base, value) if key.endswith("Url") else value for key, value in flow.items()}
        for name, flow in scheme["flows"].items()
    }
    return {**scheme, "flows": flows}


class _Builder:
    def __init__(self, protocol: Described) -> None:
        self._protocol = protocol
        self._pipeline = protocol.freeze().pipeline
        self._schemas = Schemas()
        self._records = [router.records for router in protocol.tree()]
        self._handlers = [handler for records in self._records for handler in records.handlers]
        self._raised = {
            error.code: _error_code(error) for handler in self._handlers for error in handler.raises
        }
        self._published = _published(protocol, self._records)
        self._servers: dict[str, Object] = {}
        self._security: dict[str, Object] = {}
        self._channels: dict[str, Object] = {}
        self._operations: dict[str, Object] = {}

    def build(self, found: list[Socket]) -> Object:
        handshakes = [Handshake.of(socket, self._schemas) for socket in found]
        verified = any(handshake.verifies for handshake in handshakes)
        payloads = Payloads(
            self._pipeline.registry,
            self._schemas,
            without=() if verified else (self._protocol.envelope.authenticate,),
            error_codes=(*codes.ERROR_CODES, *self._raised),
        )
        for socket, handshake in zip(found, handshakes, strict=True):
            channel = self._channel(socket, handshake, payloads)
            self._operations.update(self._receiving(channel, payloads))
            self._operations.update(self._sending(channel, payloads))
        components = {
            "messages": payloads.messages,
            "schemas": self._schemas.components,
            "correlationIds": payloads.correlations,
            "securitySchemes": self._security,
        }
        return {
            "asyncapi": VERSION,
            "info": {"title": self._protocol.title, "version": self._protocol.version},
            "defaultContentType": "application/json",
            "servers": self._servers,
            "channels": self._channels,
            "operations": self._operations,
            "components": {name: part for name, part in components.items() if part},
        }

    # Servers and channels.

    def _server(self, handshake: Handshake) -> str:
        """The server that demands what ``handshake`` does; there is one for each kind of security."""
        server: Object = {}
        if handshake.schemes:
            self._security.update(handshake.schemes)
            server["security"] = [_ref("components", "securitySchemes", name) for name in handshake.schemes]
        if handshake.schemes and handshake.optional:
            server["x-security-optional"] = True
        for name, other in self._servers.items():
            if other == server:
                return name
        name = unique(self._servers, "default")
        self._servers[name] = server
        return name

    def _channel(self, socket: Socket, handshake: Handshake, payloads: Payloads) -> str:
        channel: Object = {
            "address": socket.path,
            "servers": [_ref("servers", self._server(handshake))],
            "messages": {name: _ref("components", "messages", name) for name in payloads.messages},
        }
        if socket.converters:
            channel["parameters"] = {
                name: _parameter(name, converter, payloads) for name, converter in socket.converters.items()
            }
        channel["bindings"] = {"ws": handshake.binding}
        if rooms := [_room(rule) for records in self._records for rule in records.rooms]:
            channel["x-rooms"] = rooms
        if subprotocols := self._protocol.settings.subprotocols:
            channel["x-subprotocols"] = list(subprotocols)
        channel["x-limits"] = _limits(self._protocol.settings, socket.layers)
        channel["x-error-codes"] = {
            **{code: {"retryable": code in codes.RETRYABLE} for code in codes.ERROR_CODES},
            **self._raised,
        }
        channel["x-close-codes"] = _CLOSE_CODES
        channel["x-refusals"] = _REFUSALS
        plain = socket.path.strip("/").replace("/", ".").replace("{", "").replace("}", "")
        name = unique(self._channels, key(plain) or "root")
        self._channels[name] = channel
        return name

    # Operations.

    def _receiving(self, channel: str, payloads: Payloads) -> Iterator[tuple[str, Object]]:
        """An operation for each handler, each control message, and each message that an endpoint takes."""
        envelope = self._protocol.envelope
        ack, error = payloads.tagged("send", envelope.ack), payloads.tagged("send", envelope.error)
        for handler in self._handlers:
            answers = [name for model in handler.returns for name in payloads.of("send", model)]
            if handler.silent or self._may_drop(handler):
                answers += ack
            keys = [name for model in handler.types for name in payloads.of("receive", model)]
            yield self._receive(channel, keys, [*answers, *error], **_handled(handler))
        for tag, answer in (
            (envelope.ping, envelope.pong),
            (envelope.cancel, envelope.ack),
            (envelope.authenticate, envelope.ack),
        ):
            if keys := payloads.tagged("receive", tag):
                yield self._receive(channel, keys, [*payloads.tagged("send", answer), *error])
        for model in self._protocol.receives:
            if not any(model in handler.types for handler in self._handlers):
                yield self._receive(channel, payloads.of("receive", model))

    def _may_drop(self, handler: Handler) -> bool:
        """Whether a transform may drop the message or its reply, which is acknowledged then."""
        routes, stages = self._pipeline.routes, self._pipeline.stages
        return any(routes[model].transforms for model in handler.types) or any(
            stages[model] != NO_STAGES for model in handler.returns
        )

    def _receive(
        self, channel: str, keys: list[str], answers: Iterable[str] = (), **more: Any
    ) -> tuple[str, Object]:
        operation: Object = {"action": "receive", "channel": _ref("channels", channel), **more}
        operation["messages"] = [_ref("channels", channel, "messages", name) for name in keys]
        if found := [_ref("channels", channel, "messages", name) for name in dict.fromkeys(answers)]:
            operation["reply"] = {"channel": _ref("channels", channel), "messages": found}
        return f"{channel}.{keys[0]}", operation

    def _sending(self, channel: str, payloads: Payloads) -> Iterator[tuple[str, Object]]:
        """An operation for each message that comes unasked, errors of broken frames among them."""
        keys = [name for model in self._published for name in payloads.of("send", model)]
        for name in (*keys, *payloads.tagged("send", self._protocol.envelope.error)):
            yield (
                f"{channel}.{name}",
                {
                    "action": "send",
                    "channel": _ref("channels", channel),
                    "messages": [_ref("channels", channel, "messages", name)],
                },
            )


def _published(protocol: Described, records: list[Records]) -> list[type[BaseModel]]:
    """The types that are sent without being asked for, as far as it is declared."""
    emitted = [model for one in records for handler in one.handlers for model in handler.emits]
    hooks = [
        hook
        for one in records
        for hook in (*one.on_join, *one.on_leave, *one.on_status, *one.exception_handlers.values())
    ]
    hooked = [model for hook in hooks for model in hook.returns]
    return list(dict.fromkeys([*emitted, *hooked, *protocol.sends]))


def _handled(handler: Handler) -> Object:
    """What an operation says of its handler."""
    function = handler.function
    found: Object = {"title": getattr(function.function, "__name__", type(function.function).__name__)}
    found.update(described(inspect.getdoc(function.function)))
    if handler.rate_limit is not None:
        found["x-rate-limit"] = _rate(handler.rate_limit)
    if handler.raises:
        found["x-error-codes"] = [error.code for error in handler.raises]
    if handler.concurrent:
        found["x-concurrent"] = True
    if function.is_stream or function.is_sync_stream:
        found["x-stream"] = True
    return found


def _parameter(name: str, converter: str, payloads: Payloads) -> Object:
    if name == "room":
        return {"description": "The room that is joined.", "default": payloads.sample(name) or name}
    return {"default": _PATH_EXAMPLES.get(converter) or payloads.sample(name) or name}


def _room(rule: RoomRule) -> Object:
    spec = rule.spec
    found: Object = {"pattern": spec.pattern.pattern, "presence": spec.presence}
    found.update(described(inspect.getdoc(rule.function.function)))
    if spec.pattern.parameters:
        found["parameters"] = dict.fromkeys(spec.pattern.parameters, PARAMETER)
    if spec.history is not None:
        found["history"] = asdict(spec.history)
    return found


def _limits(settings: Settings, layers: Iterable[Layer]) -> Object:
    found: Object = {
        "maxFrame": settings.max_frame,
        "maxRooms": settings.max_rooms,
        "maxPending": settings.max_pending,
        "brokenFrames": asdict(settings.tolerance),
        "outbox": {"bytes": settings.outbox.bytes, "seconds": settings.outbox.seconds},
    }
    if settings.rate_limit is not None:
        found["rate"] = _rate(settings.rate_limit)
    for layer in layers:
        if issubclass(layer.cls, ConnectionLimitMiddleware):
            for option, name in (("per_user", "perUser"), ("per_address", "perAddress"), ("total", "total")):
                if (limit := layer.options[option]) is not None:
                    found.setdefault("connections", {})[name] = limit
    return found


def _rate(rate: Rate) -> Object:
    return {"perSecond": rate.per_second, "burst": rate.burst}


def _error_code(error: type[Reject]) -> Object:
    found: Object = {"retryable": error.retryable}
    return {**found, "description": inspect.cleandoc(error.__doc__)} if error.__doc__ else found


def _ref(*parts: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(parts)}
