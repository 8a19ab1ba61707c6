"""What routers record of an application's functions, and what is refused before it is recorded.

The decorators are in :mod:`protocol.routing`; what the records compile to, in :mod:`protocol.application`.
"""

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Never, NoReturn, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from starlette.requests import HTTPConnection

from protocol.connection import Connection
from protocol.exceptions import ConfigurationError, NotFound, Reject
from protocol.injection import Call, Function, Injected, Signature, members_of, place_of
from protocol.limits import Rate
from protocol.rooms import RoomSpec

Models = type[BaseModel] | Sequence[type[BaseModel]]

_NO_ANSWER: Final = (None, type(None), Any, object, Never, NoReturn)
_STREAMS: Final = (AsyncIterator, AsyncIterable, AsyncGenerator, Iterator, Iterable, Generator)


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered handler.

    ``silent``: it may return nothing. One without annotation may, and may return whatever it emits.
    """

    types: tuple[type[BaseModel], ...]
    function: Injected
    emits: tuple[type[BaseModel], ...]
    returns: tuple[type[BaseModel], ...]
    raises: tuple[type[Reject], ...]
    rate_limit: Rate | None
    concurrent: bool
    silent: bool

    @property
    def place(self) -> str:
        return self.function.place


@dataclass(frozen=True, slots=True)
class Transform:
    """A registered transform; ``types`` are the annotation's members, each with its subclasses."""

    function: Function
    types: tuple[type, ...]
    outbound: bool
    per_recipient: bool
    place: str

    def applies(self, model: type[BaseModel]) -> bool:
        """Whether messages of ``model`` pass it. A transform may narrow this by a method ``covers``."""
        covers = getattr(self.function, "covers", None)
        return issubclass(model, self.types) and (covers is None or bool(covers(model)))


@dataclass(frozen=True, slots=True)
class RoomRule:
    """A declared kind of room and the function that is asked before every join."""

    spec: RoomSpec
    function: Injected


@dataclass(slots=True)
class Records:
    """What a router has recorded, in order of registration."""

    handlers: list[Handler] = field(default_factory=list)
    transforms: list[Transform] = field(default_factory=list)
    rooms: list[RoomRule] = field(default_factory=list)
    on_join: list[Injected] = field(default_factory=list)
    on_leave: list[Injected] = field(default_factory=list)
    on_status: list[Injected] = field(default_factory=list)
    on_connect: list[Injected] = field(default_factory=list)
    on_disconnect: list[Injected] = field(default_factory=list)
    exception_handlers: dict[type[Exception], Injected] = field(default_factory=dict)

    @property
    def received(self) -> list[type[BaseModel]]:
        """The message types that have a handler here."""
        return [model for handler in self.handlers for model in handler.types]

    @property
    def sent(self) -> list[type[BaseModel]]:
        """The message types that are declared here as sent, by handlers and by what hooks return."""
        hooks = (*self.on_join, *self.on_leave, *self.on_status, *self.exception_handlers.values())
        return [model for one in self.handlers for model in one.emits] + [
            model for hook in hooks for model in hook.returns
        ]

    @property
    def returned(self) -> list[type[BaseModel]]:
        """The message types that handlers here return."""
        return [model for handler in self.handlers for model in handler.returns]


def as_tuple(given: Any) -> tuple[Any, ...]:
    """One, or several."""
    several = isinstance(given, Iterable) and not isinstance(given, type | str)
    return tuple(given) if several else (given,)


def is_subclass(one: object, base: type) -> bool:
    """``issubclass`` for what may be no class."""
    return inspect.isclass(one) and issubclass(one, base)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say where it is declared, what is wrong."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None


def check_unique(handlers: Iterable[Handler]) -> None:
    """Refuse a second handler of a type."""
    seen: dict[type[BaseModel], Handler] = {}
    for handler in handlers:
        for model in handler.types:
            if model in seen:
                raise ConfigurationError(
                    f"{handler.place}: {model.__qualname__} has a handler already: {seen[model].place}. "
                    f"One message type has one handler."
                )
            seen[model] = handler


def check_models(given: Any, where: str) -> None:
    """Refuse what is no message type, as an instance or the name of one."""
    for one in as_tuple(given):
        if not is_subclass(one, BaseModel):
            raise ConfigurationError(f"{where} takes message types, which are pydantic models, not {one!r}.")


def check_types(types: Sequence[object]) -> None:
    """Refuse at once what would otherwise wait for a function that never comes, as ``@on`` without types does."""
    for one in types:
        if is_subclass(one, BaseModel):
            continue
        place = f"{place_of(one)}: " if inspect.isroutine(one) else ""
        raise ConfigurationError(
            f"{place}@on(…) takes message types, which are pydantic models, not {one!r}: write @on(Type, …)."
        )


def check_connection_parameter(signature: Signature) -> None:
    first = signature.parameters[0].annotation if signature.parameters else None
    if first not in {Connection, HTTPConnection, inspect.Parameter.empty}:
        raise ConfigurationError(f"{signature.place}: the first parameter is the connection: Connection.")


def check_message_parameter(signature: Signature, types: Sequence[type[BaseModel]]) -> None:
    if not signature.parameters:
        raise ConfigurationError(f"{signature.place}: a handler takes the message as its first parameter.")
    check_accepts(signature.parameters[0], types, signature.place)


def check_accepts(parameter: inspect.Parameter, types: Sequence[type], place: str) -> None:
    """Refuse a parameter whose annotation says that it takes something else than it is given."""
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty or annotation is Any:
        return
    accepted = tuple(one for one in members_of(annotation) if inspect.isclass(one))
    for given in types:
        if not issubclass(given, accepted):
            raise ConfigurationError(
                f"{place}: its parameter {parameter.name!r} gets {given.__qualname__}, and is annotated "
                f"{inspect.formatannotation(annotation)}. Make them agree."
            )


def check_answer(signature: Signature, *, streams: bool = False) -> None:
    """Refuse a function that says that it answers with something else than a message or nothing.

    Where it ``streams``, it may yield them too.
    """
    if wrong := [one for one in members_of(signature.returns) if not _is_answer(one, streams)]:
        raise ConfigurationError(
            f"{signature.place}: it is annotated to return {inspect.formatannotation(wrong[0])}, which is no message. "
            f"Return a pydantic model with a type, or None."
        )


def check_no_answer(signature: Signature, remedy: str) -> None:
    """Refuse a function that says that it answers, where nobody would hear it."""
    if wrong := [one for one in members_of(signature.returns) if one not in _NO_ANSWER]:
        raise ConfigurationError(
            f"{signature.place}: it is annotated to return {inspect.formatannotation(wrong[0])}, which nobody would "
            f"look at. {remedy}"
        )


def _is_answer(annotation: Any, streams: bool) -> bool:
    if annotation in _NO_ANSWER or is_subclass(annotation, BaseModel):
        return True
    origin, inner = get_origin(annotation) or annotation, get_args(annotation)
    if origin in (Awaitable, Coroutine):
        return all(_is_answer(one, streams) for last in inner[-1:] for one in members_of(last))
    yields = [one for first in inner[:1] for one in members_of(first)]
    return streams and origin in _STREAMS and all(_is_answer(one, False) for one in yields)


def room_parameter(name: str, annotation: Any, place: str) -> Callable[[Call], Any]:
    if annotation is inspect.Parameter.empty or annotation is str:
        return lambda call: call.parameters[name]
    try:
        convert = TypeAdapter[Any](annotation).validate_strings
    except PydanticUserError as error:
        raise ConfigurationError(
            f"{place}: the room's parameter {name!r} has no type to convert to: {error}"
        ) from None

    def converted(call: Call) -> Any:
        try:
            return convert(call.parameters[name])
        except ValidationError:
            raise NotFound("There is no such room.") from None

    return converted
