"""The contract of a codec. Codecs know neither messages nor connections."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class Codec(Protocol):
    """Maps a frame to JSON bodies and a JSON body to a frame. Stateless; called for every frame."""

    @property
    def text(self) -> bool:
        """Whether the frames that ``encode`` makes are text frames; else they are binary."""

    def decode(self, frame: str | bytes) -> Sequence[str | bytes]:
        """The JSON bodies in one inbound frame, in order; a ``str`` is a text frame, ``bytes`` a binary one.

        Raises ``MalformedFrame`` for a frame that is not of this codec. Bodies need not be valid JSON.
        """

    def encode(self, body: bytes) -> bytes:
        """The payload of the outbound frame for one JSON body."""
