"""The declaration of a protocol, and what it compiles to.

A ``MessageProtocol`` holds no connection: it can be served by many applications, and by many nodes at once. It is
frozen when it is first served.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel

from protocol import brokers, codes
from protocol.codecs import JSON, Codec
from protocol.connection import Connection
from protocol.control import Ack, Authenticate, Cancel, Error, Ping, Pong, renamed
from protocol.endpoint import router_of
from protocol.envelope import Envelope
from protocol.exceptions import ConfigurationError, Disconnect, UnknownType, check_count
from protocol.execution import AppHooks, HandlerCall
from protocol.limits import Rate, Tolerance
from protocol.messages import Message, discriminator_of
from protocol.node import CompiledHandler, Hooks, Node, Nodes, Plan, Settings
from protocol.outbox import Outbox
from protocol.pipeline import Pipeline, Route, Stages
from protocol.records import Handler, Models, Transform, as_tuple, check_models, check_unique, placed
from protocol.registry import Registry
from protocol.rooms import Rooms, RoomTable
from protocol.routing import MessageRouter
from protocol.types import VERIFIER, Verifier
from protocol.users import Users

_A_PATH: Final = "a path that starts with '/', or None"
_TOKENS: Final = "names without spaces and separators"
# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class MessageProtocol(MessageRouter):
    """A protocol: message types, and what is done with them.

    ``path``: the socket's path, or several. Where one has a parameter ``room``, and rooms are declared, that room's
    function is asked before the connection is accepted; other parameters are for dependencies. ``receives`` and
    ``sends`` declare messages without a handler. ``user``: a FastAPI dependency that returns the ``User``; it is
    solved before accept, and may refuse by ``HTTPException``. ``rate_limit`` holds for each connection, all its
    messages together. ``subprotocols``: the first of these that a client offers is chosen. ``max_frame``: bytes of
    an inbound frame; over it the connection is closed with 1009. ``max_rooms``: rooms that a connection may be in.
    ``max_pending``: messages of one connection that are handled beside others. ``asyncapi_url``: where the document
    is served; ``None``: nowhere.
    """

    def __init__(
        self,
        title: str,
        *,
        path: str | Sequence[str] = "/ws",
        version: str = "0.1.0",
        receives: Models = (),
        sends: Models = (),
        envelope: Envelope | None = None,
        codec: Codec = JSON,
        user: Callable[..., Any] | None = None,
        rate_limit: Rate | None = None,
        broker: str = "memory://",
        subprotocols: Sequence[str] = (),
        max_frame: int = 65536,
        max_rooms: int = 32,
        max_pending: int = 16,
        outbox: Outbox | None = None,
        tolerance: Tolerance | None = None,
        asyncapi_url: str | None = "/asyncapi.json",
    ) -> None:
        super().__init__()
        self.paths = as_tuple(path)
        offered = as_tuple(subprotocols)
        for name, value, fits, expected in (
            ("title", title, isinstance(title, str), "a string"),
            ("version", version, isinstance(version, str), "a string"),
            ("path", path, self.paths and all(map(_is_path, self.paths)), "paths that start with '/'"),
            ("asyncapi_url", asyncapi_url, asyncapi_url is None or _is_path(asyncapi_url), _A_PATH),
            ("envelope", envelope, isinstance(envelope, Envelope | None), "Envelope(…)"),
            ("codec", codec, _is_codec(codec), "a Codec, such as JSON"),
            ("user", user, user is None or callable(user), "a dependency"),
            ("rate_limit", rate_limit, isinstance(rate_limit, Rate | None), "Rate(…)"),
            ("outbox", outbox, isinstance(outbox, Outbox | None), "Outbox(…)"),
            ("tolerance", tolerance, isinstance(tolerance, Tolerance | None), "Tolerance(…)"),
            ("subprotocols", subprotocols, all(map(_is_token, offered)), _TOKENS),
        ):
            if not fits:
                raise ConfigurationError(f"MessageProtocol({name}=…) takes {expected}, not {value!r}.")
        for name, count in (("max_frame", max_frame), ("max_rooms", max_rooms), ("max_pending", max_pending)):
            check_count(f"MessageProtocol({name}=…)", count)
        with placed("MessageProtocol(broker=…)"):
            brokers.check(broker)
        check_models(receives, "MessageProtocol(receives=…)")
        check_models(sends, "MessageProtocol(sends=…)")
        self.title = title
        self.version = version
        self.receives: tuple[type[BaseModel], ...] = as_tuple(receives)
        self.sends: tuple[type[BaseModel], ...] = as_tuple(sends)
        self.envelope = Envelope() if envelope is None else envelope
        self.codec = codec
        self.user = user
        self.asyncapi_url = asyncapi_url
        self.settings = Settings(
            broker=broker,
            outbox=Outbox() if outbox is None else outbox,
            tolerance=Tolerance() if tolerance is None else tolerance,
            rate_limit=rate_limit,
            max_frame=max_frame,
            max_rooms=max_rooms,
            max_pending=max_pending,
            subprotocols=offered,
        )
        self.nodes = Nodes(self.freeze)
        self._plan: Plan | None = None

    @cached_property
    def router(self) -> APIRouter:
        """The sockets and the document, to be included in an application."""
        return router_of(self)

    @property
    def rooms(self) -> Rooms:
        """The rooms, on the node of this context, or the only one that runs."""
        return self.nodes.current().rooms

    @property
    def users(self) -> Users:
        """The users, on the node of this context, or the only one that runs."""
        return self.nodes.current().users

    def at(self, app: object) -> Node:
        """The node of ``app``, with ``rooms`` and ``users``: where several applications serve this protocol."""
        return self.nodes.at(app)

    @property
    def registry(self) -> Registry:
        """The message types of both directions."""
        return self.freeze().pipeline.registry

    def freeze(self) -> Plan:
        """Compile, and refuse what is registered from now on. Raises ``ConfigurationError``."""
        if self._plan is None:
            self._plan = _compile(self)
            for router in self.tree():
                router._served = self.title
        return self._plan


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")


def _is_codec(value: object) -> bool:
    return isinstance(value, Codec) and not isinstance(value, type)


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


@lru_cache(maxsize=32)
def _registry(
    receives: tuple[type[BaseModel], ...], sends: tuple[type[BaseModel], ...], envelope: Envelope
) -> Registry:
    """The same for the same models: a test that makes an application for each case compiles them once."""
    return Registry(receives, sends, envelope)


def _compile(protocol: MessageProtocol) -> Plan:
    routers = list(protocol.tree())
    handlers = [handler for router in routers for handler in router.records.handlers]
    check_unique(handlers)
    receives, sends = _declared(protocol, routers)
    control = _Control(protocol.envelope, receives, sends)
    registry = _registry((*receives, *control.inbound), (*sends, *control.outbound), protocol.envelope)
    _check_returns(handlers, registry)
    inbound = {model: _passed(protocol, routers, model, outbound=False) for model in receives}
    outbound = {model: _passed(protocol, routers, model, outbound=True) for model in sends}
    _check_transforms(routers, chain(inbound.values(), outbound.values()))
    routes = {model: Route(transforms=_inbound(found)) for model, found in inbound.items()}
    for handler in handlers:
        for model in handler.types:
            routes[model] = Route(rate_limit=handler.rate_limit, transforms=routes[model].transforms)
    routes.update((model, Route(free=True)) for model in control.inbound)
    compiled: dict[type[BaseModel], CompiledHandler] = dict(control.handlers)
    for handler in handlers:
        compiled.update(dict.fromkeys(handler.types, HandlerCall(handler)))
    rooms = [rule for router in routers for rule in router.records.rooms]
    return Plan(
        title=protocol.title,
        pipeline=Pipeline(
            registry,
            protocol.codec,
            routes=routes,
            stages={model: _outbound(found) for model, found in outbound.items()},
            rate_limit=protocol.settings.rate_limit,
        ),
        rooms=RoomTable(rule.spec for rule in rooms),
        handlers=compiled,
        hooks=_hooks(routers),
        settings=protocol.settings,
        cancel=control.cancel,
    )


def _hooks(routers: list[MessageRouter]) -> Callable[[Node], Hooks]:
    records = [router.records for router in routers]
    # The first registered for a class wins: the protocol's before its routers'.
    exception_handlers = {
        error: function
        for record in reversed(records)
        for error, function in record.exception_handlers.items()
    }
    rooms = {rule.spec.pattern.pattern: rule.function for record in records for rule in record.rooms}
    on_join = [function for record in records for function in record.on_join]
    on_leave = [function for record in records for function in record.on_leave]
    on_status = [function for record in records for function in record.on_status]
    on_connect = [function for record in records for function in record.on_connect]
    on_disconnect = [function for record in records for function in record.on_disconnect]

    def hooks(node: Node) -> AppHooks:
        return AppHooks(
            node,
            rooms=rooms,
            on_join=on_join,
            on_leave=on_leave,
            on_status=on_status,
            on_connect=on_connect,
            on_disconnect=on_disconnect,
            exception_handlers=exception_handlers,
        )

    return hooks


def _declared(
    protocol: MessageProtocol, routers: list[MessageRouter]
) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    """What is received, and what is sent."""
    records = [router.records for router in routers]
    receives = chain(protocol.receives, *(record.received for record in records))
    sends = chain(protocol.sends, *(record.sent for record in records))
    return list(dict.fromkeys(receives)), list(dict.fromkeys(sends))


def _check_returns(handlers: list[Handler], registry: Registry) -> None:
    outbound = set(registry.outbound.models.values())
    for handler in handlers:
        if missing := [model for model in handler.returns if model not in outbound]:
            raise ConfigurationError(
                f"{handler.place}: it returns {missing[0].__qualname__}, which is not declared as an outbound "
                f"message: name it in emits= of the handler, or in sends= of the protocol."
            )


def _passed(
    protocol: MessageProtocol, routers: list[MessageRouter], model: type[BaseModel], *, outbound: bool
) -> list[Transform]:
    """The transforms that messages of ``model`` pass: those of the protocol, and of routers whose message it is."""
    return [
        transform
        for router in routers
        if router is protocol
        or model
        in ([*router.records.sent, *router.records.returned] if outbound else router.records.received)
        for transform in router.records.transforms
        if transform.outbound is outbound and transform.applies(model)
    ]


def _inbound(transforms: list[Transform]) -> tuple[Callable[[Any], BaseModel | None], ...]:
    return tuple(transform.function for transform in transforms)


def _outbound(transforms: list[Transform]) -> Stages:
    return Stages(
        shared=tuple(transform.function for transform in transforms if not transform.per_recipient),
        personal=tuple(transform.function for transform in transforms if transform.per_recipient),
    )


def _check_transforms(routers: list[MessageRouter], passed: Iterable[list[Transform]]) -> None:
    """Refuse a transform that no message passes: nothing else would say that a text is not censored."""
    used = {id(transform) for transforms in passed for transform in transforms}
    for transform in chain.from_iterable(router.records.transforms for router in routers):
        if id(transform) not in used:
            names = ", ".join(one.__qualname__ for one in transform.types)
            way, other = ("outbound", "inbound") if transform.outbound else ("inbound", "outbound")
            raise ConfigurationError(
                f"{transform.place}: no {way} message passes this transform of {names}. Name types that have one of its "
                f"fields and are {way} where it is registered, or make it a transform of {other} messages: outbound=…."
            )


class _Control:
    """The control messages of one protocol, under its names."""

    def __init__(
        self, envelope: Envelope, receives: list[type[BaseModel]], sends: list[type[BaseModel]]
    ) -> None:
        there = discriminator_of(receives[0]) if receives else "type"
        back = discriminator_of(sends[0]) if sends else there
        self._ping = self._named(Ping, there, envelope.ping)
        self._authenticate = self._named(Authenticate, there, envelope.authenticate)
        self.cancel = self._named(Cancel, there, envelope.cancel)
        self._pong = self._named(Pong, back, envelope.pong)
        inbound = (self._ping, self._authenticate, self.cancel)
        outbound = (
            self._named(Ack, back, envelope.ack),
            self._named(Error, back, envelope.error),
            self._pong,
        )
        self.inbound = [model for model in inbound if model is not None]
        self.outbound = [model for model in outbound if model is not None]

    @property
    def handlers(self) -> dict[type[BaseModel], CompiledHandler]:
        found: dict[type[BaseModel], CompiledHandler] = {}
        if self._ping is not None and self._pong is not None:
            found[self._ping] = _Ping(self._pong())
        if self._authenticate is not None:
            found[self._authenticate] = _Authenticate()
        return found

    @staticmethod
    def _named(model: type[Message], discriminator: str, tag: str | None) -> type[Message] | None:
        return None if tag is None else renamed(model, discriminator, tag)


class _Ping:
    concurrent = False

    def __init__(self, pong: Message) -> None:
        self._pong = pong

    async def call(self, message: BaseModel, connection: Connection, node: Node) -> BaseModel:
        return self._pong


class _Authenticate:
    """Another subject, or a token that is not valid, ends the connection."""

    concurrent = False

    async def call(self, message: Any, connection: Connection, node: Node) -> None:
        verifier: Verifier | None = connection.scope.get(VERIFIER)
        if verifier is None:
            raise UnknownType("No authentication is configured here.", id=connection.request.id)
        user = await verifier(message.token)
        if user is None or user.id != connection.user.id:
            raise Disconnect(codes.INVALID_TOKEN)
