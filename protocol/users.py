"""Users: the handle to reach all connections of one, on every node."""

from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel

from protocol import codes
from protocol.exceptions import LocalProtocolError
from protocol.types import Delivery

if TYPE_CHECKING:
    from protocol.connection import Connection


class UserPublisher(Protocol):
    """What the handles ask of the node."""

    async def send_to_user(self, user: str, message: BaseModel, exclude: "Connection | None") -> Delivery: ...

    def connections_of(self, user: str) -> "tuple[Connection, ...]": ...

    async def disconnect_user(self, user: str, code: int, reason: str | None) -> None: ...


class UserHandle:
    """A user by id. Nothing is created by having one."""

    __slots__ = ("_publisher", "id")

    def __init__(self, id: str, publisher: UserPublisher) -> None:
        self.id = id
        self._publisher = publisher

    async def send(self, message: BaseModel, *, exclude: "Connection | None" = None) -> Delivery:
        """Send ``message`` to all the user's connections on every node, except ``exclude``. At most once.

        Nobody is there where the delivery has no ``receivers``.
        """
        return await self._publisher.send_to_user(self.id, message, exclude)

    def connections(self) -> "tuple[Connection, ...]":
        """The user's connections to this node."""
        return self._publisher.connections_of(self.id)

    async def disconnect(self, code: int = codes.CLOSE_FORBIDDEN, reason: str | None = None) -> None:
        """Close all the user's connections, on every node that the broker reaches."""
        await self._publisher.disconnect_user(self.id, code, reason)

    def __repr__(self) -> str:
        return f"UserHandle({self.id!r})"


class Users:
    """All users, by id."""

    __slots__ = ("_publisher",)

    def __init__(self, publisher: UserPublisher) -> None:
        self._publisher = publisher

    def __getitem__(self, id: str) -> UserHandle:
        if not isinstance(id, str):
            raise LocalProtocolError(f"users[…] takes the id of a user, a string, not {id!r}.")
        return UserHandle(id, self._publisher)
