"""The connections of one node by user and room, and how a publication is queued for them.

All of it is synchronous: a publication is in the outboxes of everybody when :meth:`Fanout.deliver` returns, and
on its way when the turn of the loop ends. What has to be asked of a broker or a presence store is the hub's.
"""

import asyncio
import logging
from collections.abc import Hashable, Iterable
from typing import Final

import orjson
from pydantic import BaseModel

from protocol import codes
from protocol.brokers import Publication
from protocol.connection import Connection
from protocol.exceptions import LocalProtocolError
from protocol.outbox import OVERFLOW, Frame
from protocol.pipeline import Pipeline
from protocol.replay import RoomReplay
from protocol.rooms import RoomSpec
from protocol.types import Delivery, Position

logger = logging.getLogger("protocol")

CLOSE_TAG: Final = ""
"""The type of a publication that closes its receivers; no message can have it."""


class LocalRoom:
    """A room, as far as this node's connections are in it.

    Attributes:
        live: who gets publications at once. Dicts for their order: who came first gets them first.
        joining: who still has something to get before that.
        heard: the position of the last publication that arrived.
        visitors: how many are changing the membership, or wait to; ``lock`` lets one at a time.
    """

    __slots__ = ("heard", "joining", "live", "lock", "name", "spec", "visitors")

    def __init__(self, name: str, spec: RoomSpec) -> None:
        self.name = name
        self.spec = spec
        self.live: dict[Connection, None] = {}
        self.joining: dict[Connection, RoomReplay] = {}
        self.heard: Position | None = None
        self.lock = asyncio.Lock()
        self.visitors = 0

    def __contains__(self, connection: Connection) -> bool:
        return connection in self.live or connection in self.joining

    def __bool__(self) -> bool:
        return bool(self.live or self.joining)


class Fanout:
    """The tables of one node, and delivery by them. ``enough``: bytes that are good to publish at once."""

    def __init__(self, pipeline: Pipeline, enough: int) -> None:
        self.connections: dict[str, Connection] = {}
        self.users: dict[str, dict[Connection, None]] = {}
        self.rooms: dict[str, LocalRoom] = {}
        self._pipeline = pipeline
        self._unflushed: list[Connection] = []
        self._enough = enough
        self._published = 0

    def __len__(self) -> int:
        """How many connections, users and rooms are held."""
        return len(self.connections) + len(self.users) + len(self.rooms)

    def deliver(self, publication: Publication) -> Delivery:
        """Queue a publication for this node's connections. Neither blocks nor raises."""
        found, receivers = self._receivers(publication)
        if publication.type == CLOSE_TAG:
            for connection in found:
                connection.stop(*orjson.loads(publication.body))
                receivers += 1
            return Delivery(receivers)
        dropped = 0
        try:
            frame = None if self._pipeline.is_personal(publication.type) else self.frame(publication)
        except Exception:
            # A codec of the application.
            logger.exception("A message for a room or user failed", extra={"type": publication.type})
            if publication.position is not None:
                for connection in found:
                    _start_over(connection)
            return Delivery(receivers)
        for connection in found:
            own = self.frame_for(publication, connection) if frame is None else frame
            if own is not None and not connection.closing:
                lost = connection.put(own)
                if lost == OVERFLOW:
                    dropped += 1
                else:
                    receivers += 1
                    dropped += lost
        if self._unflushed:
            self._published += len(publication.body)
        return Delivery(receivers, dropped)

    async def turn(self) -> None:
        """Let the loop write, where enough has been published since it did.

        Publishing may never wait for anything else: without this, one handler could fill the outbox of a peer
        that has had no time to read.
        """
        while self._published >= self._enough:  # noqa: ASYNC110 the flush comes before whoever waits here
            await asyncio.sleep(0)

    def frame(self, publication: Publication) -> Frame:
        """The frame that all receivers share: body and position, as they were published."""
        offset = None if publication.position is None else publication.position.offset
        message: BaseModel | None = publication.message
        registry = self._pipeline.registry
        slow = registry.slow_of(publication.type) if message is None else registry.slow(message)
        value = None if slow.key is None else self._slow_value(publication, slow.key)
        return self._pipeline.framed(
            publication.body, publication.type, offset=offset, slow=slow, slow_value=value
        )

    def frame_for(self, publication: Publication, connection: Connection) -> Frame | None:
        """The frame for one receiver, who may get none: a transform drops it, or the receiver is excluded or closing.

        Never raises. Who cannot be given a message that has a position is closed: without it there would be a hole.
        """
        if connection.closing or _excludes(publication, connection):
            return None
        offset = None if publication.position is None else publication.position.offset
        try:
            if not self._pipeline.is_personal(publication.type):
                return self.frame(publication)
            personal = self._pipeline.personal(self.message(publication), connection)
            return None if personal is None else self._pipeline.frame(personal, offset=offset)
        except Exception:
            # A transform of the application, or its codec: it must not keep the others from their message.
            logger.exception("A message for one receiver failed", extra={"connection": connection.id})
            if offset is not None:
                _start_over(connection)
            return None

    def message(self, publication: Publication) -> BaseModel:
        """The message of a publication, decoded where it comes from elsewhere.

        Raises ``LocalProtocolError`` where its model does not accept what it has written.
        """
        if publication.message is not None:
            message: BaseModel = publication.message
            return message
        try:
            return self._pipeline.registry.outbound.decode(publication.body)[0]
        except Exception as error:
            raise LocalProtocolError(
                f"A published message with the type {publication.type!r} cannot be read again ({error}): let its model "
                f"accept what its serializers write."
            ) from error

    def schedule(self, connection: Connection) -> None:
        """Flush the outbox of ``connection`` at the end of this turn of the loop."""
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unflushed.append(connection)

    def flush(self) -> None:
        """Write what this turn of the loop has queued, for each connection at once."""
        unflushed, self._unflushed = self._unflushed, []
        self._published = 0
        for connection in unflushed:
            connection.flush()

    def _slow_value(self, publication: Publication, field: str) -> Hashable:
        """What a newer message has to have in common with this one to take its place."""
        try:
            value: Hashable = getattr(self.message(publication), field)
        except LocalProtocolError:
            logger.exception("The slow_key of a message is not known", extra={"type": publication.type})
            return object()
        return value

    def _receivers(self, publication: Publication) -> tuple[Iterable[Connection], int]:
        """Who gets a publication now, and how many others get it behind what they still wait for."""
        live: dict[Connection, None] = {}
        joining: dict[Connection, RoomReplay] = {}
        for channel in publication.channels:
            kind, _, name = channel.partition(":")
            if kind == "user":
                found = self.users.get(name, {})
            elif (room := self.rooms.get(name)) is not None:
                if publication.position is not None:
                    _hear(room, publication.position)
                found = room.live
                if room.joining:
                    joining.update(room.joining)
            else:
                continue
            if live:
                live.update(found)
            else:
                live = found.copy()
        held = self._hold(publication, joining) if joining else 0
        for connection in joining:
            # Once for each, and behind the answer to a join, which tells what was before.
            live.pop(connection, None)
        if publication.exclude_connection is None and publication.exclude_user is None:
            return live, held
        return [connection for connection in live if not _excludes(publication, connection)], held

    def _hold(self, publication: Publication, joining: dict[Connection, RoomReplay]) -> int:
        """Let a publication wait for those who are still joining; those who do not get it count its place."""
        held = 0
        for connection, replay in joining.items():
            if not replay.live(publication):
                _start_over(connection)
                continue
            held += not connection.closing and not _excludes(publication, connection)
            if replay.started:
                connection.replay(replay)
        return held


def _hear(room: LocalRoom, position: Position) -> None:
    """A publication of a room's stream has arrived."""
    if room.heard is not None and not position.follows(room.heard):
        # Something of the stream is lost, and who is live cannot know what.
        for connection in room.live:
            _start_over(connection)
    room.heard = position


def _excludes(publication: Publication, connection: Connection) -> bool:
    return connection.id == publication.exclude_connection or connection.user.id == publication.exclude_user


def _start_over(connection: Connection) -> None:
    """The connection has not got something that it may not miss: it has to ask for it."""
    connection.stop(codes.INSUFFICIENT_STATE, codes.REASONS[codes.INSUFFICIENT_STATE])
