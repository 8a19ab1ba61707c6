"""Users: the handle to reach all connections of one, on every node."""

from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel

from protocol import codes
from protocol.types import Delivery

if TYPE_CHECKING:
    from protocol.connection import Connection


class UserHub(Protocol):
    """What the handles ask of the node."""

    async def send_to_user(self, user: str, message: BaseModel, exclude: "Connection | None") -> Delivery: ...

    def connections_of(self, user: str) -> "tuple[Connection, ...]": ...

    async def disconnect_user(self, user: str, code: int, reason: str | None) -> None: ...


class UserHandle:
    """A user by id. Nothing is created by having one."""

    __slots__ = ("_hub", "id")

    def __init__(self, id: str, hub: UserHub) -> None:
        self.id = id
        self._hub = hub

    async def send(self, message: BaseModel, *, exclude: "Connection | None" = None) -> Delivery:
        """Send ``message`` to all the user's connections on every node, except ``exclude``. At most once.

        Nobody is there where the delivery has no ``receivers``.
        """
        return await self._hub.send_to_user(self.id, message, exclude)

    def connections(self) -> "tuple[Connection, ...]":
        """The user's connections to this node."""
        return self._hub.connections_of(self.id)

    async def disconnect(self, code: int = codes.CLOSE_FORBIDDEN, reason: str | None = None) -> None:
        """Close all the user's connections, on every node that the broker reaches."""
        await self._hub.disconnect_user(self.id, code, reason)

    def __repr__(self) -> str:
        return f"UserHandle({self.id!r})"


class Users:
    """All users, by id."""

    __slots__ = ("_hub",)

    def __init__(self, hub: UserHub) -> None:
        self._hub = hub

    def __getitem__(self, id: str) -> UserHandle:
        return UserHandle(id, self._hub)
