"""The default codec: one JSON object in one text frame."""

from protocol.exceptions import MalformedFrame


class JSONCodec:
    """A text frame is a JSON body, to the letter."""

    text = True

    def decode(self, frame: str | bytes) -> tuple[str]:
        if isinstance(frame, str):
            return (frame,)
        raise MalformedFrame("Text frames are expected, not binary ones.", frame=frame)

    def encode(self, body: bytes) -> bytes:
        return body

    def __repr__(self) -> str:
        return "JSON"


JSON = JSONCodec()
