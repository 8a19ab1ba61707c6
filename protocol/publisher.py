"""Publications of one node: what goes to rooms and to users, and what can be asked about them.

Here a message passes the outbound transforms, is encoded once, and goes to the broker. Who of this node's
connections gets what comes back is :mod:`protocol.fanout`'s; who is in a room at all, :mod:`protocol.hub`'s.
"""

import logging
from collections.abc import Awaitable, Sequence

import orjson
from pydantic import BaseModel

from protocol.brokers import Broker, Key, Publication, room_channel, user_channel
from protocol.connection import Connection, Handling, handling
from protocol.exceptions import LocalProtocolError, Unauthenticated, Unavailable, checked_close
from protocol.fanout import CLOSE_TAG, Fanout
from protocol.history import History
from protocol.messages import CLOSE, wire_name
from protocol.pipeline import Pipeline
from protocol.presence import Members, Presence
from protocol.rooms import RoomTable
from protocol.types import Delivery, Position

logger = logging.getLogger("protocol")

Said = Awaitable[Sequence[BaseModel]]
"""What the application has to announce."""


class Publisher:
    """What the handles of rooms and users ask of their node."""

    def __init__(
        self, pipeline: Pipeline, rooms: RoomTable, fanout: Fanout, *, broker: Broker, presence: Presence
    ) -> None:
        self._pipeline = pipeline
        self._rooms = rooms
        self._fanout = fanout
        self._broker = broker
        self._presence = presence
        self._storable: set[type[BaseModel]] = set()

    # Rooms.

    async def publish(
        self, name: str, message: BaseModel, *, exclude: Connection | None = None, key: str | None = None
    ) -> Delivery:
        spec, _ = self._rooms.find(name)
        current = handling.get()
        shared = self._pipeline.outbound(message)
        if shared is None:
            return Delivery()
        if spec.history is not None:
            self._check_storable(shared)
        if current is not None and current.ended:
            current = None
        publication = self._publication((room_channel(name),), shared, exclude=exclude)
        delivery = await self._publish(publication, history=spec.history, key=_key(current, key))
        if current is not None and delivery.position is not None:
            current.offset = delivery.position.offset
        return delivery

    async def repeated(self, name: str, key: Key) -> Delivery | None:
        """What became of the publication with this key, where it was applied."""
        return await self._broker.repeated(room_channel(name), key)

    async def members(self, name: str) -> Members:
        self._rooms.find(name)
        return await self._presence.members(name)

    async def room_history(self, name: str, after: Position | None, limit: int) -> tuple[BaseModel, ...]:
        if limit < 0:
            raise ValueError(f"history(limit=…) is at least 0, not {limit}.")
        spec, _ = self._rooms.find(name)
        page = await self._broker.history(room_channel(name), history=spec.history, after=after, limit=limit)
        return tuple(self._fanout.message(publication) for publication in page.entries)

    # Users.

    def connections_of(self, user: str) -> tuple[Connection, ...]:
        return tuple(self._fanout.users.get(user, ()))

    async def send_to_user(self, user: str, message: BaseModel, exclude: Connection | None) -> Delivery:
        shared = self._pipeline.outbound(message)
        if shared is None:
            return Delivery()
        return await self._publish(self._publication((user_channel(user),), shared, exclude=exclude))

    async def disconnect_user(self, user: str, code: int, reason: str | None) -> None:
        await self._broker.publish(
            Publication((user_channel(user),), CLOSE_TAG, orjson.dumps(checked_close(code, reason)))
        )

    # Hooks.

    async def announce(
        self,
        said: Said,
        channels: tuple[str, ...],
        *,
        exclude: Connection | None = None,
        exclude_user: str | None = None,
    ) -> None:
        """Say what the application's hooks say. What fails here must not undo what is announced."""
        # What hooks publish is not the publication that the message under way stands for.
        token = handling.set(None)
        try:
            for message in await said:
                shared = self._pipeline.outbound(message)
                if shared is not None:
                    await self._publish(
                        self._publication(channels, shared, exclude=exclude, exclude_user=exclude_user)
                    )
        except Unavailable:
            logger.warning(
                "Broker or presence store does not answer: nothing is announced", extra={"channels": channels}
            )
        except Exception:
            logger.exception("What was to be announced failed", extra={"channels": channels})
        finally:
            handling.reset(token)

    # Parts.

    async def _publish(
        self, publication: Publication, *, history: History | None = None, key: Key | None = None
    ) -> Delivery:
        await self._fanout.turn()
        return await self._broker.publish(publication, history=history, key=key)

    def _publication(
        self,
        channels: tuple[str, ...],
        message: BaseModel,
        *,
        exclude: Connection | None = None,
        exclude_user: str | None = None,
    ) -> Publication:
        registry = self._pipeline.registry
        return Publication(
            channels,
            registry.tag(message),
            registry.encode(message),
            exclude_connection=None if exclude is None else exclude.id,
            exclude_user=exclude_user,
            message=message,
        )

    def _check_storable(self, message: BaseModel) -> None:
        """A room with history has an offset for each message, and never a silent hole."""
        model = type(message)
        if model in self._storable:
            return
        offset = self._pipeline.envelope.offset
        if any(wire_name(name, field) == offset for name, field in model.model_fields.items()):
            raise LocalProtocolError(
                f"{model.__qualname__} has a field {offset!r} of its own, so a room with history cannot say its "
                f"position. Rename the field, or the envelope's: Envelope(offset=…)."
            )
        if self._pipeline.registry.slow(message) is not CLOSE:
            raise LocalProtocolError(
                f"{model.__qualname__} may be dropped for a slow consumer; a room with history never has a silent "
                f"hole. Publish it to a room without history, or declare it without slow=…."
            )
        self._storable.add(model)


def _key(current: Handling | None, key: str | None) -> Key | None:
    """The key of a publication: given, or that of the message under way for its first publication."""
    if current is None:
        return None if key is None else ("", key)
    own, current.key = current.key, None
    key = own if key is None else key
    if key is None:
        return None
    if not current.connection.authenticated:
        raise Unauthenticated("A key needs a user: log in first.")
    return current.connection.user.id, key
