"""Frames of a client's byte stream (RFC 6455, section 5): where each ends, and whole small texts read in place.

Sans-IO. What is wrong with a frame is not found out here: everything but a good small text is left to the
``websockets`` library, piece by piece, so that there is one judge of the protocol.
"""

from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this platform
    from websockets.utils import apply_mask

__all__ = ["MAX_TEXT", "FrameCutter", "read_texts"]

MAX_TEXT: Final = 65535
"""The longest payload that :func:`read_texts` reads; above it the length has eight bytes."""

_MAX_HEAD: Final = 14
_FINAL_TEXT: Final = 0x81
_MASKED: Final = 0x80


def read_texts(data: bytes, offset: int, *, max_size: int, count: int) -> tuple[list[str], int]:
    """Read up to ``count`` texts of at most ``max_size`` bytes each that stand whole in ``data`` from ``offset`` on.

    Returns them and the offset behind them: that of the first frame which is not unfragmented, uncompressed,
    masked, valid text, or not here to its end. ``max_size`` is at most :data:`MAX_TEXT`.
    """
    texts: list[str] = []
    end = len(data)
    while end - offset >= 6 and data[offset] == _FINAL_TEXT and len(texts) < count:
        size = data[offset + 1] - _MASKED  # negative: not masked
        start = offset + 6
        if size == 126:
            size = data[offset + 2] << 8 | data[offset + 3]
            start += 2
        elif size == 127:
            break
        if size < 0 or size > max_size or start + size > end:
            break
        try:
            texts.append(apply_mask(data[start : start + size], data[start - 4 : start]).decode())
        except UnicodeDecodeError:
            break
        offset = start + size
    return texts, offset


class FrameCutter:
    """Follows a stream from frame to frame, whatever pieces it arrives in."""

    __slots__ = ("_head", "_rest")

    def __init__(self) -> None:
        self._head = b""
        self._rest = 0

    @property
    def between_frames(self) -> bool:
        """Whether the next byte is the first of a frame."""
        return not self._rest and not self._head

    def cut(self, data: bytes, offset: int) -> int:
        """The offset behind the frame that ``data`` continues or begins at ``offset``, or the end of ``data``.

        To be called with each next offset once; it never returns more than one frame.
        """
        if not self._rest:
            head = self._head + data[offset : offset + _MAX_HEAD - len(self._head)]
            size = _frame_size(head)
            if size is None:
                self._head = head
                return len(data)
            self._rest = size - len(self._head)
            self._head = b""
        stop = min(offset + self._rest, len(data))
        self._rest -= stop - offset
        return stop


def _frame_size(head: bytes) -> int | None:
    """The size of the frame that begins with ``head``; ``None`` as long as too little of it is here."""
    if len(head) < 2:
        return None
    size = head[1] & 0x7F
    length_size = {126: 2, 127: 8}.get(size, 0)
    if len(head) < 2 + length_size:
        return None
    if length_size:
        size = int.from_bytes(head[2 : 2 + length_size])
    return 2 + length_size + (4 if head[1] & _MASKED else 0) + size
