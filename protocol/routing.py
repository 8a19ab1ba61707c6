"""Decorators that register an application's functions, and what they record.

A router is a declaration: nothing runs here. A protocol is a router too, and compiles what all its routers have
recorded (:mod:`protocol.application`). What the records are, and what is refused, is in :mod:`protocol.records`.
The module is long by the overloads.
"""

import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from types import FrameType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from protocol.connection import Connection
from protocol.exceptions import ConfigurationError, Disconnect, Reject, check_flag
from protocol.history import History
from protocol.injection import Call, Function, Injected, Signature, is_kind, members_of, place_of
from protocol.limits import Rate
from protocol.messages import tags_of
from protocol.records import (
    Handler,
    Models,
    Records,
    RoomRule,
    Transform,
    as_tuple,
    check_accepts,
    check_answer,
    check_connection_parameter,
    check_message_parameter,
    check_models,
    check_no_answer,
    check_types,
    check_unique,
    is_subclass,
    placed,
    room_parameter,
)
from protocol.rooms import Room, RoomPattern, Rooms, RoomSpec, RoomTable
from protocol.types import User
from protocol.users import Users

P = ParamSpec("P")
M1 = TypeVar("M1", bound=BaseModel)
M2 = TypeVar("M2", bound=BaseModel)
M3 = TypeVar("M3", bound=BaseModel)
M4 = TypeVar("M4", bound=BaseModel)
M5 = TypeVar("M5", bound=BaseModel)
E = TypeVar("E", bound=Exception)
F = TypeVar("F", bound=Function)

Reply = BaseModel | None
Result = Reply | Awaitable[Reply] | AsyncIterator[BaseModel] | Iterator[BaseModel]
R = TypeVar("R", bound=Result)

_WITH_CONNECTION: Final = frozenset({Connection, HTTPConnection, User, Room, Rooms, Users})
_WITHOUT_ROOM: Final = _WITH_CONNECTION - {Room}
_WITHOUT_CONNECTION: Final = frozenset({User, Room, Rooms, Users})
_NOT_PLAIN: Final = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class Options(TypedDict, total=False):
    """The options of :meth:`MessageRouter.on`, said once for all its overloads."""

    emits: Models
    raises: type[Reject] | Sequence[type[Reject]]
    rate_limit: Rate | None
    concurrent: bool


class MessageRouter:
    """Handlers, transforms, rooms and hooks, to be included in a protocol."""

    def __init__(self) -> None:
        self.records = Records()
        self.routers: list[MessageRouter] = []
        self._served: str | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # To give the protocol itself to include_router of FastAPI is the likeliest slip of all.
            if name == "routes" or hasattr(APIRouter, name):
                raise AttributeError(
                    f"A {type(self).__name__} is no APIRouter, and has no {name!r}. An application includes the router "
                    f"of a protocol, app.include_router(chat.router), and a protocol includes a MessageRouter, "
                    f"chat.include_router(router)."
                )
            return super().__getattribute__(name)

    @overload
    def on(
        self,
        t1: type[M1],
        /,
        **options: Unpack[Options],
    ) -> Callable[[Callable[Concatenate[M1, P], R]], Callable[Concatenate[M1, P], R]]: ...

    @overload
    def on(
        self,
        t1: type[M1],
        t2: type[M2],
        /,
        **options: Unpack[Options],
    ) -> Callable[[Callable[Concatenate[M1 | M2, P], R]], Callable[Concatenate[M1 | M2, P], R]]: ...

    @overload
    def on(
        self,
        t1: type[M1],
        t2: type[M2],
        t3: type[M3],
        /,
        **options: Unpack[Options],
    ) -> Callable[[Callable[Concatenate[M1 | M2 | M3, P], R]], Callable[Concatenate[M1 | M2 | M3, P], R]]: ...

    @overload
    def on(
        self,
        t1: type[M1],
        t2: type[M2],
        t3: type[M3],
        t4: type[M4],
        /,
        **options: Unpack[Options],
    ) -> Callable[
        [Callable[Concatenate[M1 | M2 | M3 | M4, P], R]], Callable[Concatenate[M1 | M2 | M3 | M4, P], R]
    ]: ...

    @overload
    def on(
        self,
        t1: type[M1],
        t2: type[M2],
        t3: type[M3],
        t4: type[M4],
        t5: type[M5],
        /,
        **options: Unpack[Options],
    ) -> Callable[
        [Callable[Concatenate[M1 | M2 | M3 | M4 | M5, P], R]],
        Callable[Concatenate[M1 | M2 | M3 | M4 | M5, P], R],
    ]: ...

    def on(
        self,
        *types: type[BaseModel],
        emits: Models = (),
        raises: type[Reject] | Sequence[type[Reject]] = (),
        rate_limit: Rate | None = None,
        concurrent: bool = False,
    ) -> Callable[[F], F]:
        """Register the handler of one or more inbound message types; the message is its first parameter.

        A returned message is the reply; ``None`` is acknowledged where an ``id`` asked. Yielded messages are
        a stream of replies with an ``ack`` at the end. ``emits`` names the outbound types that it sends,
        returns or publishes, ``raises`` its own error codes. ``rate_limit`` holds for each user and type.
        ``concurrent``: it runs beside the messages behind it, as a stream always does.
        """
        names = _callers_names()
        check_types(types)

        def register(function: F) -> F:
            self._change()
            with placed(place_of(function)):
                check_models(emits, "emits=")
                check_flag("concurrent=", concurrent)
            signature = Signature(function, names=names, types=(*types, *as_tuple(emits)))
            check_message_parameter(signature, types)
            injected = Injected(signature, leading=1, allowed=_WITH_CONNECTION, streams=True)
            check_answer(signature, streams=True)
            if injected.takes_room and (missing := [one for one in types if "room" not in one.model_fields]):
                raise ConfigurationError(
                    f"{signature.place}: a parameter Room is the room of message.room, and {missing[0].__qualname__} "
                    f"has no field 'room'. Take Rooms instead: rooms[name]."
                )
            handler = Handler(
                types=tuple(types),
                function=injected,
                emits=as_tuple(emits),
                returns=as_tuple(emits) if signature.returns is None else signature.returned_models(),
                raises=as_tuple(raises),
                rate_limit=rate_limit,
                concurrent=concurrent or injected.is_stream or injected.is_sync_stream,
                silent=signature.may_return_nothing(),
            )
            self._check_handler(handler)
            self.records.handlers.append(handler)
            return function

        return register

    def _check_handler(self, handler: Handler) -> None:
        """Refuse what would be refused anyway when all is compiled, where it can be named best."""
        if not handler.types:
            raise ConfigurationError(
                f"{handler.place}: name the message types that it handles: @on(Type, …)."
            )
        with placed(handler.place):
            for model in (*handler.types, *handler.emits):
                tags_of(model)
        if handler.rate_limit is not None and not isinstance(handler.rate_limit, Rate):
            raise ConfigurationError(
                f"{handler.place}: rate_limit= takes a Rate, such as Rate(10, burst=40), not {handler.rate_limit!r}."
            )
        for error in handler.raises:
            if not is_subclass(error, Reject):
                raise ConfigurationError(
                    f"{handler.place}: raises= takes subclasses of Reject, not {error!r}."
                )
        check_unique([*self.records.handlers, handler])

    @overload
    def transform(self, function: F, /) -> F: ...

    @overload
    def transform(
        self, /, *, types: Models = (), outbound: bool = False, per_recipient: bool = False
    ) -> Callable[[F], F]: ...

    def transform(
        self,
        function: Function | None = None,
        /,
        *,
        types: Models = (),
        outbound: bool = False,
        per_recipient: bool = False,
    ) -> Any:
        """Register a transform of the message types in its annotation; ``types`` narrows them.

        A plain function that returns the message, another one, or ``None`` to drop it in silence, or raises
        ``Reject``. With ``per_recipient``, outbound only, it gets the receiving ``Connection`` too. Those of the
        protocol come before those of its routers, each in order of registration.
        """
        names = _callers_names()

        def register(function: F) -> F:
            self._change()
            with placed(place_of(function)):
                check_models(types, "types=")
            signature = Signature(function, names=names, types=as_tuple(types))
            if any(is_kind(kind, function) for kind in _NOT_PLAIN):
                raise ConfigurationError(
                    f"{signature.place}: a transform is a plain def that returns, because it runs for every "
                    f"message. Do what has to be awaited in a handler or a dependency."
                )
            expected = 2 if per_recipient else 1
            if len(signature.parameters) != expected:
                raise ConfigurationError(
                    f"{signature.place}: a transform takes the message"
                    f"{' and the connection' if per_recipient else ''}, {expected} parameters, not "
                    f"{len(signature.parameters)}."
                )
            check_answer(signature)
            if per_recipient:
                check_accepts(signature.parameters[1], (Connection,), signature.place)
            found = as_tuple(types) or members_of(signature.parameters[0].annotation)
            if not all(is_subclass(one, BaseModel) for one in found):
                raise ConfigurationError(
                    f"{signature.place}: annotate the message with the types that are to be transformed."
                )
            self.records.transforms.append(
                Transform(
                    function,
                    cast(tuple[type, ...], found),
                    outbound=outbound or per_recipient,
                    per_recipient=per_recipient,
                    place=signature.place,
                )
            )
            return function

        return register if function is None else register(function)

    def room(
        self, pattern: str, *, history: History | None = None, presence: bool = True
    ) -> Callable[[Callable[Concatenate[Connection, P], Any]], Callable[Concatenate[Connection, P], Any]]:
        """Declare a kind of room; the function is asked before every join, and raises ``Reject`` to refuse.

        Where it returns anything but ``None``, nobody is let in either, and the log says so.

        ``pattern`` is the name, with parameters: ``team-{team}``. A parameter matches ``[A-Za-z0-9_-]{1,64}``
        and is converted by its annotation; what cannot be converted is no such room.
        """
        names = _callers_names()
        if not isinstance(pattern, str):
            raise ConfigurationError(f"{place_of(pattern)}: write @room('…') with the name of the room.")
        check_flag(f"@room({pattern!r}, presence=…)", presence)
        if history is not None and not isinstance(history, History):
            raise ConfigurationError(f"@room({pattern!r}, history=…) takes a History(…), not {history!r}.")

        def register(
            function: Callable[Concatenate[Connection, P], Any],
        ) -> Callable[Concatenate[Connection, P], Any]:
            self._change()
            signature = Signature(function, names=names)
            with placed(signature.place):
                parsed = RoomPattern(pattern)
            check_connection_parameter(signature)
            given = {parameter.name: parameter for parameter in signature.parameters[1:]}
            if missing := [name for name in parsed.parameters if name not in given]:
                raise ConfigurationError(
                    f"{signature.place}: the room {pattern!r} has a parameter {missing[0]!r}, and the function has none."
                )
            function_of = Injected(
                signature,
                leading=1,
                allowed=_WITHOUT_ROOM,
                named={
                    name: room_parameter(name, given[name].annotation, signature.place)
                    for name in parsed.parameters
                },
            )
            check_no_answer(signature, "Raise Reject to refuse.")
            spec = RoomSpec(parsed, history, presence, signature.place)
            RoomTable([*(rule.spec for rule in self.records.rooms), spec])
            self.records.rooms.append(RoomRule(spec, function_of))
            return function

        return register

    def on_join(self, function: F) -> F:
        """Call at the first connection of a user in a room, once in the cluster.

        It takes ``user`` and ``room``. A returned message goes to the room, except that user's connections.
        """
        self._hook(self.records.on_join, function, _callers_names())
        return function

    def on_leave(self, function: F) -> F:
        """Call at the last connection of a user in a room, once in the cluster; see :meth:`on_join`."""
        self._hook(self.records.on_leave, function, _callers_names())
        return function

    def on_status(self, function: F) -> F:
        """Call when a user's status changes.

        It takes ``user`` and ``status``. A returned message goes once to each connection that shares a room with
        the user and to the user's other connections.
        """
        named = {"status": lambda call: call.status}
        self._hook(self.records.on_status, function, _callers_names(), _WITHOUT_CONNECTION - {Room}, named)
        return function

    def on_connect(self, function: F) -> F:
        """Call after a connection was accepted, before its first message is handled."""
        self.records.on_connect.append(self._connection_hook(function, _callers_names()))
        return function

    def on_disconnect(self, function: F) -> F:
        """Call once after a connection is gone and has left its rooms, whatever ended it."""
        self.records.on_disconnect.append(self._connection_hook(function, _callers_names()))
        return function

    def exception_handler(
        self, error: type[E]
    ) -> Callable[[Callable[[Connection, E], Any]], Callable[[Connection, E], Any]]:
        """Answer errors of a class, and of its subclasses, in another way than by the error frame.

        The function takes the connection and the error, and returns a message to send instead, or ``None`` to
        leave it at that, or raises ``Disconnect``. A ``RemoteProtocolError`` has the raw ``frame``, and the ``id`` as
        far as it could be read.
        """
        names = _callers_names()
        if not is_subclass(error, Exception) or issubclass(error, Disconnect):
            raise ConfigurationError(
                f"@exception_handler(…) takes a class of exceptions other than Disconnect, not {error!r}."
            )

        def register(function: Callable[[Connection, E], Any]) -> Callable[[Connection, E], Any]:
            self._change()
            signature = Signature(function, names=names, types=(error,))
            check_connection_parameter(signature)
            if len(signature.parameters) < 2:
                raise ConfigurationError(
                    f"{signature.place}: an exception handler takes the connection and the error."
                )
            check_accepts(signature.parameters[1], (error,), signature.place)
            if error in self.records.exception_handlers:
                raise ConfigurationError(
                    f"{signature.place}: {error.__qualname__} has an exception handler already."
                )
            injected = Injected(signature, leading=2, allowed=_WITHOUT_ROOM)
            check_answer(signature)
            self.records.exception_handlers[error] = injected
            return function

        return register

    def include_router(self, router: "MessageRouter") -> None:
        """Add everything that ``router`` has registered, or will register until the protocol is served."""
        if not isinstance(router, MessageRouter):
            raise ConfigurationError(f"include_router takes a MessageRouter, not {router!r}.")
        if self in router.tree():
            raise ConfigurationError("A router cannot include itself, nor one that includes it.")
        self._change()
        self.routers.append(router)

    def tree(self) -> Iterator["MessageRouter"]:
        """This router and those that it includes, in order of registration."""
        yield self
        for router in self.routers:
            yield from router.tree()

    def _change(self) -> None:
        """Called before each registration, which nobody would see any more once a protocol is served."""
        if self._served is not None:
            raise ConfigurationError(
                f"The protocol {self._served!r} is served already, so nothing can be registered any more. Register "
                f"before its router is included in an application, at import."
            )

    def _connection_hook(self, function: Function, names: dict[str, Any]) -> Injected:
        self._change()
        signature = Signature(function, names=names)
        injected = Injected(signature, leading=0, allowed=_WITHOUT_ROOM, named=_first_connection(signature))
        check_no_answer(signature, "Send it: connection.send(…).")
        return injected

    def _hook(
        self,
        records: list[Injected],
        function: Function,
        names: dict[str, Any],
        allowed: frozenset[type] = _WITHOUT_CONNECTION,
        named: dict[str, Callable[[Call], Any]] | None = None,
    ) -> None:
        self._change()
        signature = Signature(function, names=names)
        injected = Injected(signature, leading=0, allowed=allowed, named=named)
        check_answer(signature)
        records.append(injected)


def _callers_names() -> dict[str, Any]:
    """The local names of the block that a decorator stands in: apps are defined inside tests."""
    frame: FrameType | None = sys._getframe(2)
    module = sys._getframe(2).f_globals
    names: dict[str, Any] = {}
    while frame is not None and frame.f_globals is module and frame.f_locals is not module:
        names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names


def _first_connection(signature: Signature) -> dict[str, Callable[[Call], Any]]:
    """The first parameter of a connection's hook may go without annotation."""
    if signature.parameters and signature.parameters[0].annotation is inspect.Parameter.empty:
        return {signature.parameters[0].name: lambda call: call.connection}
    return {}
