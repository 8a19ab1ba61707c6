"""How much an application holds: the tables that its functions reach, and those of its node.

Only what is the application's own is looked at, by way of the variables that its endpoints, handlers and hooks close
over or name, and of the objects whose methods they are; what libraries cache is theirs.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, Final, TypeAlias

from protocol.application import MessageProtocol
from protocol.asyncapi.served import protocols
from protocol.exceptions import LocalProtocolError

_LIBRARIES: Final = frozenset(
    {
        "asyncio",
        "builtins",
        "fastapi",
        "logging",
        "protocol",
        "pydantic",
        "pydantic_core",
        "re",
        "starlette",
        "typing",
    }
)
_Function: TypeAlias = FunctionType | MethodType
_CONTAINERS: Final = (dict, list, set, frozenset, deque, tuple)
_MOST: Final = 10_000
"""Objects that are looked at."""


class Tables:
    """The tables of ``app``."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._protocols = [found for found in protocols(app) if isinstance(found, MessageProtocol)]
        self._functions = list(_functions(app, self._protocols))

    def sizes(self) -> dict[str, int]:
        """The number of entries in each table, by the name of the variable that leads to it."""
        found: dict[str, int] = {}
        for function in self._functions:
            for name, value in _variables(function):
                found[f"{function.__qualname__}: {name}"] = _size(value)
        state = getattr(getattr(self._app, "state", None), "_state", {})
        found.update((f"app.state.{name}", _size(value)) for name, value in state.items())
        for protocol in self._protocols:
            with suppress(LocalProtocolError):  # it starts with the first connection
                tables = protocol.at(self._app).hub.fanout
                found["connections of the node"] = len(tables.connections)
                found["users of the node"] = len(tables.users)
                found["rooms of the node"] = len(tables.rooms)
        return found


def _functions(app: Any, protocols: list[MessageProtocol]) -> Iterator[_Function]:
    candidates: list[Any] = []
    for route in getattr(app, "routes", ()):
        candidates += [getattr(route, "endpoint", None), *_calls(getattr(route, "dependant", None))]
    for protocol in protocols:
        for router in protocol.tree():
            records = router.records
            candidates += [handler.function.function for handler in records.handlers]
            candidates += [rule.function.function for rule in records.rooms]
            hooks = (
                records.on_join,
                records.on_leave,
                records.on_status,
                records.on_connect,
                records.on_disconnect,
            )
            candidates += [hook.function for kind in hooks for hook in kind]
    for found in candidates:
        if isinstance(found, _Function) and not _is_of_library(found.__module__):
            yield found


def _calls(dependant: Any) -> Iterator[Any]:
    """The dependencies of an endpoint, and theirs."""
    for one in getattr(dependant, "dependencies", ()):
        yield one.call
        yield from _calls(one)


def _variables(function: _Function) -> Iterator[tuple[str, Any]]:
    if isinstance(function, MethodType):
        yield "self", function.__self__
        if isinstance(function.__func__, FunctionType):
            yield from _variables(function.__func__)
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, _CONTAINERS) or (
            value is not None
            and not _is_of_library((value if isinstance(value, FunctionType) else type(value)).__module__)
        ):
            yield name, value


def _size(root: Any) -> int:
    """The entries of all containers that ``root`` leads to."""
    total, looked = 0, 0
    seen: set[int] = set()
    todo = [root]
    while todo and looked < _MOST:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        looked += 1
        if isinstance(value, _CONTAINERS):
            total += len(value)
            todo += value.values() if isinstance(value, dict) else value
        elif isinstance(value, _Function):
            todo += [inner for _, inner in _variables(value)]
        elif not isinstance(value, type | ModuleType | str | bytes | int | float) and not _is_of_library(
            type(value).__module__
        ):
            todo += _attributes(value)
    return total


def _attributes(value: Any) -> Iterator[Any]:
    """What an object holds in its own namespace, and in slots."""
    yield getattr(value, "__dict__", {})
    for kind in type(value).__mro__:
        for slot in vars(kind).values():
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):  # nothing is in it
                    yield slot.__get__(value)


def _is_of_library(module: str | None) -> bool:
    return module is None or module.partition(".")[0] in _LIBRARIES
