"""What the rooms of one node are told of who comes and who goes.

Who is in a room is the hub's, and goes on to change meanwhile: here it is told, one announcement after another for each
room. So what the application says to it may take its time, and may itself let somebody join or leave.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from protocol.brokers import room_channel
from protocol.presence import LISTED, Presence
from protocol.publisher import Publisher
from protocol.rooms import Room
from protocol.types import User

Begin = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts work that goes on to its end, even if the caller is cancelled meanwhile."""


class Hooks(Protocol):
    """The application's functions that are called here; they answer with what is announced."""

    async def joined(self, user: User, room: Room) -> Sequence[BaseModel]: ...

    async def left(self, user: User, room: Room) -> Sequence[BaseModel]: ...


@dataclass(eq=False, slots=True)
class _Announcement:
    """That a user has come into a room, or has left it. ``context`` is that of whoever has caused it."""

    user: User
    came: bool
    context: Context = field(default_factory=copy_context)
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False, slots=True)
class _Line:
    """What a room has still to be told, first come, first told.

    At most two wait for each user: who has come, and who had been there before what is under way began.
    """

    under_way: _Announcement
    waiting: dict[tuple[str, bool], _Announcement] = field(default_factory=dict)

    def last_of(self, user: str) -> _Announcement | None:
        """Who has left may be back, never the reverse: :meth:`Announcer.put` drops both then."""
        waiting = self.waiting.get((user, True)) or self.waiting.get((user, False))
        return waiting or (self.under_way if self.under_way.user.id == user else None)


_told: ContextVar[_Announcement | None] = ContextVar("protocol.announcement", default=None)
"""The announcement that this context works for, though it may be over."""


def within_hook() -> bool:
    """Whether the caller works for a hook that has not returned, in its task or in one that it has started."""
    announcement = _told.get()
    return announcement is not None and not announcement.over.is_set()


class Announcer:
    """The announcements of one node."""

    def __init__(self, hooks: Hooks, publisher: Publisher, *, presence: Presence, begin: Begin) -> None:
        self._hooks = hooks
        self._publisher = publisher
        self._presence = presence
        self._begin = begin
        self._lines: dict[str, _Line] = {}

    def put(self, name: str, user: User, *, came: bool) -> None:
        """Let a room be told, behind what it is being told; to be called in the order of the changes.

        Who leaves before anybody was told that they have come was never there.
        """
        line = self._lines.get(name)
        if line is None:
            announcement = _Announcement(user, came)
            self._lines[name] = _Line(announcement)
            self._begin(self._tell(name, announcement))
        elif not came and (untold := line.waiting.pop((user.id, True), None)) is not None:
            untold.over.set()
        else:
            # Another node may have told the opposite in between.
            line.waiting.setdefault((user.id, came), _Announcement(user, came))

    def has_told(self, name: str) -> bool:
        """Whether a room was told of all changes; within a hook it counts as told, as below."""
        return name not in self._lines or within_hook()

    async def all_told(self, name: str) -> None:
        """Wait until a room was told of all changes."""
        while not self.has_told(name):
            await self._lines[name].under_way.over.wait()

    async def told(self, name: str, user: User) -> None:
        """Wait until a room was told of the last change of ``user``.

        Hooks do not wait: one would wait for itself, or for one that waits for it.
        """
        line = self._lines.get(name)
        announcement = None if line is None or within_hook() else line.last_of(user.id)
        if announcement is not None:
            await announcement.over.wait()

    async def _tell(self, name: str, announcement: _Announcement) -> None:
        _told.set(announcement)
        try:
            await self._publisher.announce(
                self._said(name, announcement), (room_channel(name),), exclude_user=announcement.user.id
            )
        finally:
            announcement.over.set()
            self._go_on(name)

    def _go_on(self, name: str) -> None:
        line = self._lines[name]
        if not line.waiting:
            del self._lines[name]
            return
        line.under_way = line.waiting.pop(next(iter(line.waiting)))
        line.under_way.context.run(self._begin, self._tell(name, line.under_way))

    async def _said(self, name: str, announcement: _Announcement) -> Sequence[BaseModel]:
        room = Room(name, self._publisher)
        if announcement.came:
            return await self._hooks.joined(announcement.user, room)
        left = await self._presence.members(name, limit=0)
        return await self._hooks.left(announcement.user, room) if left.count < LISTED else ()
