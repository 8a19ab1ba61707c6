"""Rooms: the declared patterns of their names, and the handle to publish to one.

Who is in a room is the presence store's knowledge; who of this node's connections gets a publication, the hub's.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import BaseModel

from protocol.exceptions import ConfigurationError, NotFound
from protocol.history import History
from protocol.presence import Members
from protocol.types import Delivery, Position

if TYPE_CHECKING:
    from protocol.connection import Connection

PARAMETER: Final = "[A-Za-z0-9_-]{1,64}"
_PART = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}|([^{}]+)|([{}])")


@dataclass(frozen=True, slots=True)
class Membership:
    """What a connection gets for joining a room.

    ``recovered``: everything after ``since`` follows, as ordinary messages, behind the answer to the message
    under way. ``position`` is the room's at the time of joining; where nothing is recovered, the client goes on
    from there.
    """

    room: str
    members: Members
    position: Position
    recovered: bool = False


class RoomPattern:
    """A declared room name with parameters, such as ``team-{team}``."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.parameters: tuple[str, ...] = ()
        regex = ""
        # Characters, and None for one or more characters of a parameter.
        self._shape: list[str | None] = []
        for name, literal, brace in _PART.findall(pattern):
            if brace or (name and self._shape[-1:] == [None]):
                raise ConfigurationError(
                    f"The room {pattern!r} cannot be read: a parameter is {{name}}, and two of them need text between."
                )
            if name:
                if name in self.parameters:
                    raise ConfigurationError(f"The room {pattern!r} has two parameters {name!r}.")
                self.parameters += (name,)
                regex += f"(?P<{name}>{PARAMETER})"
                self._shape.append(None)
            else:
                regex += re.escape(literal)
                self._shape.extend(literal)
        if not self._shape:
            raise ConfigurationError("A room needs a name: '{name}' stands for any.")
        self._match = re.compile(regex).fullmatch

    def match(self, name: str) -> dict[str, str] | None:
        """The parameters in ``name``, or ``None`` where it is no such room."""
        found = self._match(name)
        return None if found is None else found.groupdict()

    def overlaps(self, other: "RoomPattern") -> bool:
        """Whether some name is a room of both. Lengths of parameters do not count."""
        todo, seen = [(0, 0)], set[tuple[int, int]]()
        while todo:
            here = todo.pop()
            if here == (len(self._shape), len(other._shape)):
                return True
            if here in seen or here[0] == len(self._shape) or here[1] == len(other._shape):
                continue
            seen.add(here)
            one, two = self._shape[here[0]], other._shape[here[1]]
            if _meet(one, two):
                # A parameter may go on or end with this character.
                ends = [(0, 1) if part is None else (1,) for part in (one, two)]
                todo.extend((here[0] + a, here[1] + b) for a in ends[0] for b in ends[1])
        return False

    def __repr__(self) -> str:
        return f"RoomPattern({self.pattern!r})"


def _meet(one: str | None, two: str | None) -> bool:
    """Whether the two can be the same character."""
    if one is None or two is None:
        return one is two or re.fullmatch("[A-Za-z0-9_-]", one or two or "") is not None
    return one == two


class RoomPublisher(Protocol):
    """What the handles ask of the node."""

    async def publish(
        self, room: str, message: BaseModel, *, exclude: "Connection | None", key: str | None
    ) -> Delivery: ...

    async def members(self, room: str) -> Members: ...

    async def room_history(self, room: str, after: Position | None, limit: int) -> tuple[BaseModel, ...]: ...


class Room:
    """A room by its name, to publish to and to ask about. Nothing is created by having one."""

    __slots__ = ("_publisher", "name")

    def __init__(self, name: str, publisher: RoomPublisher) -> None:
        self.name = name
        self._publisher = publisher

    async def publish(
        self, message: BaseModel, *, exclude: "Connection | None" = None, key: str | None = None
    ) -> Delivery:
        """Send ``message`` to everybody in the room, except the connection ``exclude``.

        In a room with history it is stored before this returns, and its ``position`` is in the answer. With a
        ``key`` it is applied once within 2 minutes for the user of the message under way; inside a handler the
        first publication to a room takes the message's own.

        Raises ``LocalProtocolError`` for a type that is not declared as outbound, and for one with a field
        named like the envelope's ``offset`` in a room with history; ``Unavailable`` where the broker does not
        answer: the outcome is unknown then.
        """
        return await self._publisher.publish(self.name, message, exclude=exclude, key=key)

    async def members(self) -> Members:
        """Who is in the room, on every node."""
        return await self._publisher.members(self.name)

    async def history(self, *, after: Position | None = None, limit: int = 100) -> tuple[BaseModel, ...]:
        """The stored messages, oldest first: the first ``limit`` after a position, or else the last ones.

        They are as they were published, behind the outbound transforms for all: sent or published again, they pass
        them again.
        """
        return await self._publisher.room_history(self.name, after, limit)

    def __repr__(self) -> str:
        return f"Room({self.name!r})"


class Rooms:
    """All rooms of a node, by name."""

    __slots__ = ("_publisher",)

    def __init__(self, publisher: RoomPublisher) -> None:
        self._publisher = publisher

    def __getitem__(self, name: str) -> Room:
        return Room(name, self._publisher)


@dataclass(frozen=True, slots=True)
class RoomSpec:
    """One declared kind of room; ``place`` is where it is declared."""

    pattern: RoomPattern
    history: History | None = None
    presence: bool = True
    place: str = "MessageProtocol"


class RoomTable:
    """The declared rooms of a protocol."""

    def __init__(self, specs: Iterable[RoomSpec]) -> None:
        self._specs = tuple(specs)
        for index, spec in enumerate(self._specs):
            for other in self._specs[:index]:
                if spec.pattern.overlaps(other.pattern):
                    raise ConfigurationError(
                        f"{spec.place}: the room {spec.pattern.pattern!r} overlaps {other.pattern.pattern!r} of "
                        f"{other.place}: one name could be either. Put different text before or behind the parameters."
                    )

    def __len__(self) -> int:
        return len(self._specs)

    def find(self, name: str) -> tuple[RoomSpec, dict[str, str]]:
        """The declaration of the room ``name``, and its parameters. Raises ``NotFound``."""
        for spec in self._specs:
            parameters = spec.pattern.match(name)
            if parameters is not None:
                return spec, parameters
        raise NotFound("There is no such room.")
