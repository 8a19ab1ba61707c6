"""Who is connected to one node, and in which rooms, in step with the other nodes.

The hub joins the three that know something of a room: the broker (what is published), the presence store (who
is there, on all nodes), and the node's own tables (:mod:`protocol.fanout`). What is published goes through
:mod:`protocol.publisher`, and what a room is told of its members through :mod:`protocol.announcer`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Protocol
from weakref import WeakValueDictionary

from pydantic import BaseModel

from protocol import announcer, codes
from protocol.announcer import Announcer, Begin, within_hook
from protocol.brokers import Broker, Publication, room_channel, user_channel
from protocol.connection import Connection, Handling, handling
from protocol.exceptions import Disconnect, NotAMember, TooManyRooms, Unavailable
from protocol.fanout import Fanout, LocalRoom
from protocol.history import Page
from protocol.outbox import Frame
from protocol.owner import ended
from protocol.presence import LISTED, Members, Presence
from protocol.publisher import Publisher
from protocol.replay import RoomReplay
from protocol.rooms import Membership, RoomSpec, RoomTable
from protocol.types import Position, User

logger = logging.getLogger("protocol")


class Hooks(announcer.Hooks, Protocol):
    """The application's functions that a hub calls, by itself or by its announcer."""

    async def authorise(self, connection: Connection, spec: RoomSpec, parameters: dict[str, str]) -> None: ...

    async def status_changed(self, user: User, status: str) -> Sequence[BaseModel]: ...


class Hub:
    """What connections ask of their node."""

    def __init__(
        self,
        rooms: RoomTable,
        hooks: Hooks,
        fanout: Fanout,
        publisher: Publisher,
        *,
        broker: Broker,
        presence: Presence,
        begin: Begin,
        max_rooms: int,
    ) -> None:
        self.fanout = fanout
        self.schedule = fanout.schedule
        self._table = rooms
        self._hooks = hooks
        self._publisher = publisher
        self._broker = broker
        self._presence = presence
        self._begin = begin
        self._announcer = Announcer(hooks, publisher, presence=presence, begin=begin)
        # Who is in a room, or is not any more, and the presence store may not know it.
        self._unsettled: dict[tuple[Connection, str], None] = {}
        self._followed: set[str] = set()
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._max_rooms = max_rooms

    # Connections.

    async def connect(self, connection: Connection) -> None:
        """Count a connection that has been accepted."""
        user = connection.user.id
        self.fanout.connections[connection.id] = connection
        self.fanout.users.setdefault(user, {})[connection] = None
        await self._follow(user)
        await self._presence.connect(user, connection.id)

    async def disconnect(self, connection: Connection) -> None:
        """Forget a connection, and take it out of every room; departures of its user are announced."""
        if self.fanout.connections.pop(connection.id, None) is None:
            return
        user = connection.user
        for room in list(connection.memberships.values()):
            async with self._visit(room.name, room.spec) as here:
                if connection in here:
                    await self._remove(connection, here)
        mine = self.fanout.users[user.id]
        del mine[connection]
        if not mine:
            del self.fanout.users[user.id]
            await self._follow(user.id)
        try:
            left = await self._presence.disconnect(user.id, connection.id)
        except Unavailable:
            logger.warning(
                "The presence store does not answer: a connection is gone when its lease ends",
                extra={"connection": connection.id},
            )
            return
        for name in left:
            self.announce_left(user, name)
        for name in left:
            await self._announcer.told(name, user)

    async def set_status(self, connection: Connection, status: str) -> None:
        user = connection.user
        rooms = await self._presence.set_status(user.id, status)
        if rooms is None:
            return
        channels = (user_channel(user.id), *(room_channel(name) for name in rooms))
        await self._publisher.announce(self._hooks.status_changed(user, status), channels, exclude=connection)

    # Membership.

    async def authorise(self, connection: Connection, name: str) -> None:
        """Ask the room function. Raises ``NotFound``, and whatever the function raises."""
        await self._hooks.authorise(connection, *self._table.find(name))

    async def join(self, connection: Connection, name: str, since: Position | None) -> Membership:
        """Returns when the room has been told of it; within a hook, which rooms may be waiting for, at once."""
        spec, parameters = self._table.find(name)
        if name not in connection.memberships:
            self._check_room_for(connection)
        # Asked again of a member too, who may not be allowed in any more.
        await self._hooks.authorise(connection, spec, parameters)
        # One at a time: nobody can rely on one that may still be taken back.
        async with self._turn(name):
            async with self._quiet(name, spec) as room:
                if connection in room:
                    return await self._again(connection, room)
                if connection.id not in self.fanout.connections:
                    raise Disconnect(codes.GOING_AWAY)
                # Others may have been joined meanwhile.
                self._check_room_for(connection)
                membership = await self._enter(connection, room, since)
            try:
                await self._announcer.told(name, connection.user)
            except asyncio.CancelledError:
                await ended(self._begin(self._take_back(connection, name, spec)))
                raise
            return membership

    async def leave(self, connection: Connection, name: str) -> None:
        room = connection.memberships.get(name)
        if room is None:
            raise NotAMember("The connection is not in this room.")
        async with self._turn(name), self._quiet(name, room.spec) as here:
            if connection not in here:
                raise NotAMember("The connection is not in this room.")
            await ended(self._begin(self._go(connection, here)))
        await self._announcer.told(name, connection.user)

    def release(self, current: Handling) -> None:
        """The answer to a message is queued: what the rooms that it joined have to say may follow."""
        current.ended = True
        for room, replay in current.joined:
            self._start(current.connection, room, replay)

    async def rejoin(self, connection: Connection) -> None:
        """The presence store has lost a connection of this node, which was renewed too late."""
        self._unsettled.update(dict.fromkeys((connection, name) for name in connection.memberships))
        await self._presence.connect(connection.user.id, connection.id)

    async def settle(self) -> None:
        """Tell the presence store of joins and departures that it does not know. Raises ``Unavailable``."""
        for connection, name in list(self._unsettled):
            async with self._visit(name, self._table.find(name)[0]) as room:
                self._unsettled.pop((connection, name), None)
                # A connection that is gone was taken out of the store as a whole, or lapses there.
                if connection in room:
                    await self._appear(connection, room)
                elif connection.id in self.fanout.connections and await self._disappear(connection, room):
                    self.announce_left(connection.user, name)

    def announce_left(self, user: User, name: str) -> None:
        """Tell a room that the last connection of ``user`` has left it."""
        self._announcer.put(name, user, came=False)

    # Parts.

    async def _follow(self, user: str) -> None:
        """Be subscribed to a user's channel while there is a connection: when one comes as the last one goes, too."""
        async with self._lock(user):
            if user not in self.fanout.users:
                self._followed.discard(user)
                await self._broker.unsubscribe(user_channel(user))
            elif user not in self._followed:
                await self._broker.subscribe(user_channel(user))
                self._followed.add(user)

    def _lock(self, key: Hashable) -> asyncio.Lock:
        """The lock of all who ask for it at the same time."""
        if (lock := self._locks.get(key)) is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def _visit(self, name: str, spec: RoomSpec) -> AsyncIterator[LocalRoom]:
        """Change the membership of a room, one at a time; an empty room is forgotten."""
        room = self.fanout.rooms.get(name)
        if room is None:
            room = self.fanout.rooms[name] = LocalRoom(name, spec)
        room.visitors += 1
        try:
            async with room.lock:
                yield room
        finally:
            room.visitors -= 1
            if not room and not room.visitors:
                del self.fanout.rooms[name]

    def _turn(self, name: str) -> AbstractAsyncContextManager[object]:
        """Those who enter a room or leave it take turns; hooks, which a turn may wait for, need none."""
        return nullcontext() if within_hook() else self._lock(("turn", name))

    @asynccontextmanager
    async def _quiet(self, name: str, spec: RoomSpec) -> AsyncIterator[LocalRoom]:
        """Visit a room that was told of all changes: it is as if they had been made one after the other.

        Meanwhile connections may end, but nobody enters, so this comes to an end.
        """
        while True:
            await self._announcer.all_told(name)
            async with self._visit(name, spec) as room:
                if self._announcer.has_told(name):
                    yield room
                    return

    def _check_room_for(self, connection: Connection) -> None:
        if len(connection.memberships) >= self._max_rooms:
            raise TooManyRooms(f"A connection can be in {self._max_rooms} rooms: leave one first.")

    async def _enter(self, connection: Connection, room: LocalRoom, since: Position | None) -> Membership:
        """Subscribe, hold back what comes, read what was missed, and be seen."""
        try:
            page = await self._subscribe(connection, room, since)
            members = await self._appear(connection, room)
        except BaseException:
            # All or nothing, wherever it has failed or was cancelled; nobody enters before that is so.
            await ended(self._begin(self._withdraw(connection, room)))
            raise
        replay = room.joining[connection]
        current = handling.get()
        if current is not None and current.connection is connection and not current.ended:
            current.joined += ((room, replay),)
        else:
            # Nothing is to be answered first: somebody else has put the connection into the room.
            self._start(connection, room, replay)
        return Membership(room.name, members, page.position, page.recovered)

    async def _subscribe(
        self, connection: Connection, room: LocalRoom, since: Position | None
    ) -> Page[Publication]:
        def caught_up() -> None:
            del room.joining[connection]
            room.live[connection] = None

        def frame(publication: Publication) -> Frame | None:
            return self.fanout.frame_for(publication, connection)

        channel, history = room_channel(room.name), room.spec.history
        empty = not room
        replay = RoomReplay(room.heard, history=history is not None, frame=frame, caught_up=caught_up)
        room.joining[connection] = replay
        connection.memberships[room.name] = room
        if empty:
            await self._broker.subscribe(channel)
        page = await self._broker.history(channel, history=history, after=since)
        if history is not None and room.heard is None and page.position.offset == 0:
            # Nothing is under way: whatever arrives next has to be the first of all.
            room.heard = page.position
        if not replay.begin(page):
            raise Disconnect(codes.INSUFFICIENT_STATE)
        return page

    def _start(self, connection: Connection, room: LocalRoom, replay: RoomReplay) -> None:
        """Let a replay begin, unless the connection has left the room, or left and joined it again."""
        if room.joining.get(connection) is replay:
            replay.started = True
            connection.replay(replay)

    async def _take_back(self, connection: Connection, name: str, spec: RoomSpec) -> None:
        """Undo a join that others were told of, or will be."""
        async with self._visit(name, spec) as room:
            if connection in room:
                await self._go(connection, room)

    async def _go(self, connection: Connection, room: LocalRoom) -> None:
        await self._remove(connection, room)
        if await self._disappear(connection, room):
            self.announce_left(connection.user, room.name)

    async def _withdraw(self, connection: Connection, room: LocalRoom) -> None:
        """Undo what there is of a join that was not announced; the room is visited already."""
        await self._remove(connection, room)
        await self._disappear(connection, room)

    async def _appear(self, connection: Connection, room: LocalRoom) -> Members:
        """Be seen in a room; announced where it is the user's first connection there."""
        if not room.spec.presence:
            return Members(0, ())
        self._unsettled[connection, room.name] = None
        first = await self._presence.join(room.name, connection.user.id, connection.id)
        if first is None:
            await self.rejoin(connection)
            first = await self._presence.join(room.name, connection.user.id, connection.id)
        self._unsettled.pop((connection, room.name), None)
        members = await self._presence.members(room.name)
        if first and members.count <= LISTED:
            self._announcer.put(room.name, connection.user, came=True)
        return members

    async def _disappear(self, connection: Connection, room: LocalRoom) -> bool:
        """Be seen in a room no longer; true where it was the user's last connection there.

        A store that does not answer is told with a later renewal.
        """
        if not room.spec.presence:
            return False
        try:
            last = await self._presence.leave(room.name, connection.user.id, connection.id)
        except Unavailable:
            self._unsettled[connection, room.name] = None
            return False
        self._unsettled.pop((connection, room.name), None)
        return last

    async def _remove(self, connection: Connection, room: LocalRoom) -> None:
        room.live.pop(connection, None)
        replay = room.joining.pop(connection, None)
        if replay is not None:
            connection.withdraw(replay)
        connection.memberships.pop(room.name, None)
        if not room:
            # What is published until somebody subscribes again is not heard.
            room.heard = None
            await self._broker.unsubscribe(room_channel(room.name))

    async def _again(self, connection: Connection, room: LocalRoom) -> Membership:
        """A second join changes nothing and recovers nothing: what is still to come follows on its position."""
        page = await self._broker.history(room_channel(room.name), history=room.spec.history)
        members = Members(0, ())
        if room.spec.presence:
            members = await self._presence.members(room.name)
        position = room.heard
        if (replay := room.joining.get(connection)) is not None:
            position = replay.before if connection.holds(replay) else replay.position
        return Membership(room.name, members, position or page.position)
