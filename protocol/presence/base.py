"""What every presence store promises: who is where, over all nodes.

The state is the authority. What is announced of its changes is the hub's matter; the store only sees to it that
each change is claimed by one node.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

LEASE_SECONDS: Final = 30.0
"""How long a connection counts without a sign of life from its node."""

LISTED: Final = 200
"""Members that are listed at most, and above which joins and leaves are not announced."""

ONLINE: Final = "online"
"""The status of a user who has set none since the last of the connections closed."""


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a room."""

    user: str
    status: str


@dataclass(frozen=True, slots=True)
class Members:
    """Who is in a room: how many users, and the first of them in the order in which they came."""

    count: int
    users: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Departure:
    """A user whose last connection in a room has lapsed, because its node did not renew it."""

    user: str
    room: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a node learns when it renews its connections.

    ``departures``: who has gone with a lapsed connection, for this node to announce. ``lost``: those of its own
    connections that the store does not hold, because they were renewed too late. To the others they have left:
    announce the departures first, then connect them, and join all their rooms, again.
    """

    departures: tuple[Departure, ...]
    lost: tuple[str, ...]


class Presence(Protocol):
    """The connections of all nodes, the rooms that they are in, and the status of their users.

    A user is in a room while at least one connection of theirs is. A connection counts from ``connect`` to
    ``disconnect``, or until its node has not renewed it for ``LEASE_SECONDS``; then it is gone from every
    answer, whether a node has noticed or not. Its id is its own among all nodes, and it has one user, who is
    named with it so that a store knows its keys beforehand.

    **Atomicity.** Each call is one step, and all nodes see the steps in one order.

    **Claims.** For one user and room, ``join`` answers true, and then one of ``leave``, ``disconnect`` and
    ``renew`` tells of the departure, by turns: whoever gets that answer, and nobody else, announces it. Who
    comes back before a node has claimed that the lease ran out was never away.

    **Failure.** Every method raises ``Unavailable`` where the store does not answer.
    """

    async def connect(self, user: str, connection: str) -> None:
        """Count ``connection``, in no room yet. A second call renews it."""

    async def disconnect(self, user: str, connection: str) -> tuple[str, ...]:
        """Forget ``connection``; return the rooms that its user has left with it."""

    async def join(self, room: str, user: str, connection: str) -> bool | None:
        """Put ``connection`` into ``room``, and renew it. True: the user's first one there.

        ``None``: it does not count, and nothing was done. It was renewed too late, and has lost its other rooms
        too: connect it, and join them all.
        """

    async def leave(self, room: str, user: str, connection: str) -> bool:
        """Take ``connection`` out of ``room``. True: it was the user's last one there."""

    async def members(self, room: str, *, limit: int = LISTED) -> Members:
        """Who is in ``room``, in the order in which the users came. At most ``limit`` are listed, all count."""

    async def set_status(self, user: str, status: str) -> tuple[str, ...] | None:
        """Set it until the user's last connection is gone, and return the rooms that the user is in.

        ``None``: nothing has changed, for it was so, or the user has no connection.
        """

    async def renew(self, connections: Iterable[str]) -> Renewal:
        """The node lives, and so do these ``connections`` of it. To be called every third of the lease."""
