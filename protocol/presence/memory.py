"""The presence store of one process. Its nodes share one object; no call ever suspends.

Leases matter here where nodes are simulated: a node that crashes leaves its connections behind.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from protocol.presence.base import LEASE_SECONDS, LISTED, ONLINE, Departure, Member, Members, Renewal


@dataclass(slots=True)
class _Connection:
    user: str
    expires: float
    # Dicts for their order: it must not change from run to run.
    rooms: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _User:
    status: str = ONLINE
    connections: dict[str, None] = field(default_factory=dict)


class MemoryPresence:
    """``monotonic`` tells the time in seconds."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # In the order of their expiry, because all leases are equally long.
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._users: dict[str, _User] = {}
        # How many connections each user has in each room.
        self._rooms: dict[str, dict[str, int]] = {}
        self._unclaimed: dict[Departure, None] = {}

    def __len__(self) -> int:
        """How many connections, users, rooms and unclaimed departures are held."""
        return len(self._connections) + len(self._users) + len(self._rooms) + len(self._unclaimed)

    async def connect(self, user: str, connection: str) -> None:
        self._lapse()
        self._connections.setdefault(connection, _Connection(user, 0))
        self._users.setdefault(user, _User()).connections[connection] = None
        self._renewed(connection)

    async def disconnect(self, user: str, connection: str) -> tuple[str, ...]:
        self._lapse()
        return self._removed(connection)

    async def join(self, room: str, user: str, connection: str) -> bool | None:
        self._lapse()
        if connection not in self._connections:
            return None
        rooms = self._renewed(connection).rooms
        if room in rooms:
            return False
        rooms[room] = None
        members = self._rooms.setdefault(room, {})
        members[user] = members.get(user, 0) + 1
        if members[user] > 1:
            return False
        departure = Departure(user, room)
        if departure in self._unclaimed:
            del self._unclaimed[departure]
            return False
        return True

    async def leave(self, room: str, user: str, connection: str) -> bool:
        self._lapse()
        entry = self._connections.get(connection)
        if entry is None or room not in entry.rooms:
            return False
        del entry.rooms[room]
        return self._left(room, user)

    async def members(self, room: str, *, limit: int = LISTED) -> Members:
        self._lapse()
        members = self._rooms.get(room, {})
        listed = tuple(Member(user, self._users[user].status) for user in islice(members, limit))
        return Members(len(members), listed)

    async def set_status(self, user: str, status: str) -> tuple[str, ...] | None:
        self._lapse()
        entry = self._users.get(user)
        if entry is None or entry.status == status:
            return None
        entry.status = status
        rooms = dict.fromkeys(room for id in entry.connections for room in self._connections[id].rooms)
        return tuple(rooms)

    async def renew(self, connections: Iterable[str]) -> Renewal:
        self._lapse()
        lost = []
        for connection in connections:
            if connection in self._connections:
                self._renewed(connection)
            else:
                lost.append(connection)
        departures, self._unclaimed = tuple(self._unclaimed), {}
        return Renewal(departures, tuple(lost))

    def _renewed(self, connection: str) -> _Connection:
        entry = self._connections[connection]
        entry.expires = self._monotonic() + LEASE_SECONDS
        self._connections.move_to_end(connection)
        return entry

    def _lapse(self) -> None:
        """Forget the connections whose lease has run out."""
        now = self._monotonic()
        while self._connections:
            connection = next(iter(self._connections))
            entry = self._connections[connection]
            if entry.expires > now:
                return
            for room in self._removed(connection):
                self._unclaimed[Departure(entry.user, room)] = None

    def _removed(self, connection: str) -> tuple[str, ...]:
        """Forget ``connection``; return the rooms that its user has left with it."""
        entry = self._connections.pop(connection, None)
        if entry is None:
            return ()
        others = self._users[entry.user].connections
        del others[connection]
        if not others:
            del self._users[entry.user]
        return tuple(room for room in entry.rooms if self._left(room, entry.user))

    def _left(self, room: str, user: str) -> bool:
        """One connection of ``user`` is not in ``room`` any more; return whether it was the last."""
        members = self._rooms[room]
        if members[user] > 1:
            members[user] -= 1
            return False
        del members[user]
        if not members:
            del self._rooms[room]
        return True
