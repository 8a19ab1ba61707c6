"""The nouns that several layers share, and the small interfaces between those layers.

Nothing here has behaviour beyond a dataclass's: an interface is implemented in the layer that owns the
matter, and used in a layer that must not import that one.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

Ref = str | int
"""What a client may put into ``id``, and gets back in ``ref``."""

MAX_INTEGER: Final = 2**53
"""The largest integer that every JSON implementation keeps exactly (RFC 8259, section 6)."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

WIRE: Final = "protocol.wire"
"""Key in ``scope["extensions"]`` of the :class:`Wire` that a server offers."""

OBSERVERS: Final = "protocol.observers"
"""Key in the scope of the list of :class:`Observer` that middleware adds itself to."""

VERIFIER: Final = "protocol.verifier"
"""Key in the scope of the :class:`Verifier` that answers the ``authenticate`` message."""


@dataclass(frozen=True, slots=True)
class User:
    """Who a connection speaks for. One user may have many connections, on many nodes."""

    id: str
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        given: object = self.id
        if not isinstance(given, str):
            raise TypeError(f"User(id=…) is a string, not {type(given).__name__}: write User(str(id)).")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a room's stream: the offset of a publication within one epoch.

    Offsets rise by one per publication from 1; ``offset`` 0 is the place before the first. Offsets of two
    epochs cannot be compared.
    """

    offset: int
    epoch: str

    def follows(self, other: "Position") -> bool:
        """Whether this is the place directly behind ``other``."""
        return self.epoch == other.epoch and self.offset == other.offset + 1


class Request(NamedTuple):
    """The envelope of the message under way: ``id`` asks for an answer, ``key`` for one application."""

    id: Ref | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a publication or a direct message.

    ``receivers`` counts the connections of this node whose outboxes it was put to, or that get it behind what they
    missed, and, where the broker knows them, the nodes' that it was passed on to. ``dropped`` counts the frames of
    this node that slow consumers lost for it by its policy, itself or older ones, and the consumers that were closed
    for it. ``position`` is set for a room with history. ``repeated``: the key was applied before, and this is what
    became of it then.
    """

    receivers: int = 0
    dropped: int = 0
    position: Position | None = None
    repeated: bool = False


class Verifier(Protocol):
    """Checks a token that a client presents in band.

    Left in the scope by the authentication middleware. A ``User`` means: valid, and for whom; the middleware
    that owns it moves its own expiry with the answer. ``None`` means: refused.
    """

    async def __call__(self, token: str) -> User | None: ...


class Observer(Protocol):
    """Sees what passes a connection, and can change nothing. Must not block.

    Middleware that only counts or logs implements this instead of wrapping ``send``, so that frames which
    are written directly are seen too. One that raises is logged, and told nothing more of that connection.
    """

    def attached(self, waiting: Callable[[], int]) -> None:
        """A protocol reports from now on, called after accept and before the first frame.

        An observer that watches frames pass as well leaves the counting of them to the reports. ``waiting`` tells
        how many bytes the outbox holds that the server has not been given yet.
        """

    def message_received(self, type: str) -> None:
        """A valid message arrived, before its limit, transforms and handler."""

    def message_handled(self, type: str, outcome: str, seconds: float) -> None:
        """Its handling ended: ``outcome`` is ``"ok"`` or the error code."""

    def frame_refused(self, code: str) -> None:
        """A frame was answered with the error ``code`` before it became a message."""

    def frames_sent(self, type: str, count: int, size: int) -> None:
        """``count`` copies of a frame of ``size`` bytes were queued for this connection."""

    def frames_dropped(self, type: str, count: int) -> None:
        """The slow-consumer policy dropped ``count`` frames of this connection."""

    def closed_slow(self) -> None:
        """The connection is aborted because it did not read."""


class Peer(Protocol):
    """What a server tells the connection that it has lent its :class:`Wire` to."""

    def flush(self) -> None:
        """Write what is queued, unless it is paused; called before the server writes a frame of its own."""

    def pause(self) -> None:
        """The transport's buffer is above its high-water mark: write no more."""

    def resume(self) -> None:
        """The transport's buffer is below its low-water mark again."""

    def drain(self, code: int, reason: str) -> None:
        """The server shuts down: finish what is under way, then close with ``code`` and ``reason``."""


class Wire(Protocol):
    """A server's way past ASGI ``send`` for frames that are built already.

    Offered in ``scope["extensions"]``; used only where nothing that wraps ``send`` could be bypassed.
    """

    @property
    def send(self) -> Send:
        """The server's own ``send``; the same object on every access."""

    def attach(self, peer: Peer) -> None:
        """From now on tell ``peer``. Called once, after accept."""

    def write(self, frames: bytes) -> None:
        """Hand over whole unmasked frames, in order, without blocking. After a close frame: nothing happens."""

    def backlog(self) -> int:
        """Bytes written that the kernel has not taken yet."""

    def abort(self) -> None:
        """Reset the connection at once; what is buffered is lost (``SO_LINGER`` on, zero seconds)."""


def passes(wrapper: Send, send: Send) -> Send:
    """Declare that ``wrapper``, which wraps ``send``, only looks at what is sent and changes nothing.

    Frames may then be written past it. A middleware that declares this must see what it needs through an
    :class:`Observer`. Returns ``wrapper``.
    """
    wrapper.passes_to = send  # type: ignore[attr-defined]
    return wrapper
