"""What every broker promises: publications pass between nodes, and rooms keep their history.

A broker knows channels and nodes. Which connection is in which room, and what a publication becomes on the
wire, is the hub's matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from protocol.history import History, Page
from protocol.types import Delivery, Position

KEY_SECONDS: Final = 120.0
"""How long a key is remembered, from the application of its publication."""


# Added, not formatted: a name may be the member of an enum, which formats as something else.
def room_channel(name: str) -> str:
    """The channel of a room."""
    return "room:" + name


def user_channel(id: str) -> str:
    """The channel of a user, with all connections."""
    return "user:" + id


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way to everybody in its channels; who is in several gets it once.

    ``type`` is the tag of the message. ``body`` is its JSON object, without ``offset`` or ``ref``. ``exclude_connection`` and
    ``exclude_user`` do not get it.

    ``message`` is the model that ``body`` was made from. It stays on the publishing node, and is stored nowhere.
    """

    channels: tuple[str, ...]
    type: str
    body: bytes
    position: Position | None = None
    exclude_connection: str | None = None
    exclude_user: str | None = None
    message: Any = field(default=None, compare=False, repr=False)

    def at(self, position: Position | None, message: Any = None) -> "Publication":
        """Return it as it stands in the stream: with its position, and as other nodes see it."""
        return Publication(
            self.channels,
            self.type,
            self.body,
            position,
            self.exclude_connection,
            self.exclude_user,
            message,
        )


Key = tuple[str, str]
"""The id of a user and the ``key`` of the request: within a room it names one publication."""

Deliver = Callable[[Publication], Delivery]
"""A node's way in: hands a publication to its connections. Must neither block nor raise."""


class Broker(Protocol):
    """One node's access to the channels.

    **Order.** A node gets the publications of one channel in the order in which they were applied, for a room
    with history by offset. Between channels there is no order.

    **Delivery.** At most once to each node that is subscribed to one of the channels when the publication is
    applied, and once however many of them it is subscribed to. What a node did not get can be read from the
    history.

    **Atomicity.** Storing a publication, remembering its key and passing it on is one step: nobody sees a
    part of it, and all nodes see those steps in one order.

    **Failure.** Every method but ``close`` and ``unsubscribe`` raises ``Unavailable`` where the broker does
    not answer, or is not running. Whether a publication was applied is unknown then; repeat it with its key.
    """

    async def start(self, deliver: Deliver) -> None:
        """Begin to work, and ``deliver`` what arrives; on the publishing node possibly inside ``publish``."""

    async def close(self) -> None:
        """Let go of everything. Nothing is delivered any more. A second call does nothing."""

    async def subscribe(self, channel: str) -> None:
        """Every publication that is applied after the return is delivered. A second call does nothing."""

    async def unsubscribe(self, channel: str) -> None:
        """Nothing of this channel is delivered after the return. Without a subscription: does nothing."""

    async def publish(
        self, publication: Publication, *, history: History | None = None, key: Key | None = None
    ) -> Delivery:
        """Apply ``publication``: store it where the room has a ``history``, then pass it on.

        Returns when it is stored; nodes, this one too, may get it later. ``receivers`` counts each node that it
        is passed on to as one, but where this node gets it before the return, each of its connections.
        History and key go with a publication to one channel.

        With a ``key`` it is applied once in ``KEY_SECONDS``, on whatever node: a repeat waits for one under
        way, changes nothing whatever its content, and gets the position of the first, with ``repeated``.
        """

    async def repeated(self, channel: str, key: Key) -> Delivery | None:
        """What a publication with this key would get if it were a repeat now; ``None`` where it is not."""

    async def history(
        self,
        channel: str,
        *,
        history: History | None,
        after: Position | None = None,
        limit: int | None = None,
    ) -> Page[Publication]:
        """Read the channel's stream, as :meth:`protocol.history.Stream.since` does.

        The page holds everything that was applied before the call. The epoch of a stream changes whenever it
        may have lost something; a stream that is used or subscribed to at least once in its ``ttl`` is not
        forgotten as long as the broker has memory for it. A room without history has offset 0, no entries, and an epoch that lasts.
        """
