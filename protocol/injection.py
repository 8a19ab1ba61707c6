"""What a function of the application takes, found out once from its signature.

A parameter is resolved by its annotation: the message, ``Connection``, ``User``, ``Room``, ``Rooms``, ``Users``, or
FastAPI's ``Depends`` and its kin. What cannot be resolved is a ``ConfigurationError`` where the function is
registered.
"""

import functools
import inspect
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from protocol.connection import Connection
from protocol.dependencies import Solver, detached, marker_of
from protocol.exceptions import ConfigurationError
from protocol.node import Node
from protocol.rooms import Room, Rooms
from protocol.types import User
from protocol.users import Users

Function = Callable[..., Any]


def place_of(function: Function) -> str:
    """Where a function stands, for error texts."""
    target = _annotated(function)
    code = getattr(target, "__code__", None)
    name = getattr(target, "__qualname__", type(target).__qualname__)
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


class Signature:
    """A function's parameters and what it returns, with annotations resolved.

    They are resolved against the module of the function, ``names`` (those of the block it stands in) and
    the ``types`` that it is registered for.
    """

    def __init__(self, function: Function, *, names: Mapping[str, Any], types: Sequence[type] = ()) -> None:
        self.function = function
        self.place = place_of(function)
        known = {**names, **{one.__name__: one for one in types}}
        try:
            hints = typing.get_type_hints(_annotated(function), localns=known, include_extras=True)
            parameters = inspect.signature(function).parameters
        except NameError as error:
            raise ConfigurationError(
                f"{self.place}: the annotation {error.name!r} is not defined where the function is registered. "
                f"Import it outside of TYPE_CHECKING, above the function."
            ) from None
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{self.place}: its signature cannot be read: {error}") from None
        self.parameters = [
            parameter.replace(annotation=hints.get(name, inspect.Parameter.empty))
            for name, parameter in parameters.items()
        ]
        for parameter in self.parameters:
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
                if parameter is self.parameters[0] and parameter.kind is parameter.POSITIONAL_ONLY:
                    continue
                raise ConfigurationError(
                    f"{self.place}: the parameter {parameter} cannot be filled; give each a name and an annotation."
                )
        self.returns = hints.get("return")

    def returned_models(self) -> tuple[type[BaseModel], ...]:
        """The message types in the return annotation, inside of iterators too."""
        return tuple(_models(self.returns))

    def may_return_nothing(self) -> bool:
        """Whether there may be no returned message; a stream ends without one."""
        return not set(members_of(self.returns)) <= set(self.returned_models())


def _models(annotation: Any) -> list[type[BaseModel]]:
    if hasattr(annotation, "__value__"):
        return _models(annotation.__value__)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel) and annotation is not BaseModel:
        return [annotation] if annotation.model_fields else []
    return [model for inner in get_args(annotation) for model in _models(inner)]


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; a type variable stands for its bound."""
    if hasattr(annotation, "__value__"):  # of a `type` statement (PEP 695)
        return members_of(annotation.__value__)
    if isinstance(annotation, TypeVar):
        return members_of(annotation.__bound__ or annotation.__constraints__ or object)
    if get_origin(annotation) is Annotated:
        return members_of(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return tuple(member for inner in get_args(annotation) for member in members_of(inner))
    return annotation if isinstance(annotation, tuple) else (annotation,)


def _base(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        return base, tuple(metadata)
    return annotation, ()


class Call:
    """What one call of a function can be given."""

    __slots__ = ("connection", "node", "parameters", "room", "status", "user")

    def __init__(
        self,
        node: Node,
        *,
        connection: Connection | None = None,
        user: User | None = None,
        room: Room | None = None,
        status: str | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.node = node
        self.connection = connection
        self.user = user
        self.room = room
        self.status = status
        self.parameters = {} if parameters is None else parameters


_INJECTED: dict[type, Callable[[Call], Any]] = {
    Connection: lambda call: call.connection,
    HTTPConnection: lambda call: call.connection,
    User: lambda call: call.user if call.connection is None else call.connection.user,
    Room: lambda call: call.room,
    Rooms: lambda call: call.node.rooms,
    Users: lambda call: call.node.users,
}


class Injected:
    """A function with the parameters behind the first ``leading`` ones bound to what fills them.

    ``allowed`` are the types that can be injected here, and ``named`` what is filled by a parameter's name. Only
    where ``streams`` may the function yield: elsewhere nobody would run what it says.
    """

    def __init__(
        self,
        signature: Signature,
        *,
        leading: int,
        allowed: frozenset[type],
        named: Mapping[str, Callable[[Call], Any]] | None = None,
        streams: bool = False,
    ) -> None:
        self.function = signature.function
        self.place = signature.place
        self.returns = signature.returned_models()
        self.is_async = is_kind(inspect.iscoroutinefunction, self.function)
        self.is_stream = is_kind(inspect.isasyncgenfunction, self.function)
        self.is_sync_stream = not self.is_stream and is_kind(inspect.isgeneratorfunction, self.function)
        if (self.is_stream or self.is_sync_stream) and not streams:
            raise ConfigurationError(
                f"{self.place}: it yields, and only handlers of messages may. Return instead."
            )
        for parameter in signature.parameters[:leading]:
            if parameter.kind is parameter.KEYWORD_ONLY:
                raise ConfigurationError(
                    f"{self.place}: the parameter {parameter.name!r} is filled by position: move it before the *."
                )
        self.takes_room = False
        self._getters: list[tuple[str, Callable[[Call], Any]]] = []
        solved: list[inspect.Parameter] = []
        for parameter in signature.parameters[leading:]:
            base, metadata = _base(parameter.annotation)
            if marker_of(parameter, metadata) is not None:
                solved.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            elif named is not None and parameter.name in named:
                self._getters.append((parameter.name, named[parameter.name]))
            elif base in allowed:
                self._getters.append((parameter.name, _INJECTED[base]))
                self.takes_room |= base is Room
            elif parameter.default is inspect.Parameter.empty:
                names = ", ".join(sorted(one.__name__ for one in allowed))
                raise ConfigurationError(
                    f"{self.place}: nothing fills the parameter {parameter.name!r}. Annotate it with one of "
                    f"{names}, or use Depends()."
                )
        self._solver = Solver(solved, self.place) if solved else None

    @property
    def simple(self) -> bool:
        """Nothing has to be solved: :meth:`arguments` is enough for a call."""
        return self._solver is None

    @property
    def connection_names(self) -> list[str] | None:
        """The names of the parameters, where each of them takes the connection; else ``None``."""
        found = [name for name, get in self._getters if get is _INJECTED[Connection]]
        return found if len(found) == len(self._getters) <= 1 else None

    def arguments(self, call: Call) -> dict[str, Any]:
        """What is injected, without dependencies."""
        return {name: get(call) for name, get in self._getters}

    @asynccontextmanager
    async def solved(self, call: Call) -> AsyncIterator[dict[str, Any]]:
        """What is injected; dependencies with ``yield`` end with the context."""
        if self._solver is None:
            yield self.arguments(call)
            return
        connection = detached(call.node.app) if call.connection is None else call.connection
        async with self._solver.solved(connection) as values:
            yield {**values, **self.arguments(call)}

    def __call__(self, call: Call, *leading: Any) -> Awaitable[Any]:
        """Call the function; a plain ``def`` runs in the thread pool, as in FastAPI."""
        if self._solver is None:
            return self._run(leading, self.arguments(call))
        return self._run_solved(call, leading)

    async def _run_solved(self, call: Call, leading: tuple[Any, ...]) -> Any:
        async with self.solved(call) as arguments:
            return await self._run(leading, arguments)

    def _run(self, leading: tuple[Any, ...], arguments: dict[str, Any]) -> Awaitable[Any]:
        if self.is_async:
            awaitable: Awaitable[Any] = self.function(*leading, **arguments)
            return awaitable
        return run_in_threadpool(self.function, *leading, **arguments)


def is_kind(predicate: Callable[[Any], bool], function: Function) -> bool:
    """Whether ``predicate`` of :mod:`inspect` holds for what a call of ``function`` runs.

    A plain wrapper that says by ``functools.wraps`` what it calls is taken to return what that returns.
    """
    if predicate(function):
        return True
    if inspect.isfunction(function) and inspect.iscoroutinefunction(function):
        return False
    return predicate(_annotated(function))


def _annotated(function: Function) -> Any:
    """The function under ``functools.partial``, ``functools.wraps`` and ``__call__``, which has the annotations."""
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    if not inspect.isroutine(target) and not inspect.isclass(target):
        target = type(target).__call__
    return inspect.unwrap(target)
