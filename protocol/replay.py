"""What a room still owes a connection that has just joined it.

Live publications wait here until the answer to the join has been sent and everything missed has gone before
them, at the pace of the connection's outbox. The order, and that nothing is there twice, is
:class:`protocol.history.Recovery`'s.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from protocol.brokers import Publication
from protocol.history import Page, Recovery
from protocol.outbox import Frame
from protocol.types import Position

MAX_HELD: Final = 1000
"""Live publications that wait for a connection; one more, and it has to start over."""


class RoomReplay:
    """The replay of one room to one connection.

    It is ``started`` when the answer to the join is on its way.

    ``frame`` encodes a publication for the connection, or gives ``None`` for one that it does not get;
    ``caught_up`` is called once, when live publications may go to the connection directly. ``before`` is the
    :attr:`position` in front of the last frame.
    """

    __slots__ = ("_beside", "_caught_up", "_frame", "_recovery", "before", "started")

    def __init__(
        self,
        heard: Position | None,
        *,
        history: bool,
        frame: Callable[[Publication], Frame | None],
        caught_up: Callable[[], None],
    ) -> None:
        self._recovery = Recovery[Publication](heard, limit=MAX_HELD) if history else None
        # What has no place in the stream: everything of a room without history, announcements in one with.
        self._beside: deque[Publication] = deque()
        self._frame = frame
        self._caught_up = caught_up
        self.before: Position | None = None
        self.started = False

    @property
    def position(self) -> Position | None:
        """Where a connection is that has got every frame so far; ``None`` in a room without history."""
        return None if self._recovery is None else self._recovery.position

    def live(self, publication: Publication) -> bool:
        """Hold a publication back. False: too much waits, or there is a hole."""
        if publication.position is None or self._recovery is None:
            self._beside.append(publication)
            return len(self._beside) <= MAX_HELD
        return self._recovery.live(publication.position, publication)

    def begin(self, page: Page[Publication]) -> bool:
        """What was missed is known. False: there is a hole."""
        if self._recovery is None:
            return True
        return self._recovery.begin(page.position, page.entries)

    def next(self) -> Frame | None:
        """The next frame for the connection; ``None`` when there is none for now."""
        while True:
            self.before = self.position
            if self._recovery is not None and len(self._recovery):
                publication = self._recovery.pop()
            elif self._beside:
                publication = self._beside.popleft()
            else:
                # What was read may still be on its way here; its repeats are left out by the recovery only.
                if self._recovery is None or self._recovery.caught_up:
                    self._caught_up()
                return None
            frame = self._frame(publication)
            if frame is not None:
                return frame
