"""Observers that raise: logged once, and nobody's connection is disturbed."""

import logging
from collections.abc import Callable

import pytest

from protocol import Outbox, codes
from protocol.testing import settle
from protocol.types import Observer
from tests.peers import Line, Rig, Say, end


class Seen(Observer):
    """Remembers what it is told, and raises at ``broken``."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.told: list[str] = []

    def attached(self, waiting: Callable[[], int]) -> None:
        self._tell("attached")

    def message_received(self, type: str) -> None:
        self._tell("message_received")

    def message_handled(self, type: str, outcome: str, seconds: float) -> None:
        self._tell("message_handled")

    def frame_refused(self, code: str) -> None:
        self._tell("frame_refused")

    def frames_sent(self, type: str, count: int, size: int) -> None:
        self._tell("frames_sent")

    def frames_dropped(self, type: str, count: int) -> None:
        self._tell("frames_dropped")

    def closed_slow(self) -> None:
        self._tell("closed_slow")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        if what == self.broken:
            raise RuntimeError("no space left on the device")


REPORTS = [
    "attached",
    "message_received",
    "message_handled",
    "frame_refused",
    "frames_sent",
    "frames_dropped",
    "closed_slow",
]


@pytest.mark.parametrize("broken", REPORTS)
async def test_an_observer_that_raises_is_logged_and_told_nothing_more_and_nobody_else_notices(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(wire=True, outbox=Outbox(bytes=4096))
    failing, other = Seen(broken), Seen()
    ann, bob = await rig.joined("ann", failing, other), await rig.joined("bob")
    assert (await ann.request({"type": "say"}))["code"] == "invalid_message"
    assert (await bob.request(Say(room="a", text="hello")))["type"] == "ack"
    await settle()
    assert [client.frames.pop()["text"] for client in (ann, bob)] == ["hello", "hello"]
    ann.pause()
    for _ in range(100):
        await rig.chat.rooms["a"].publish(Line(text="x" * 3000))
    # Of lines any may be lost, of what is said none: who has no place for it is given up.
    await rig.chat.rooms["a"].publish(Say(room="a", text="x" * 3000))
    assert await ann.expect_close() == (codes.ABNORMAL, "")
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.message for record in errors] == ["An observer failed: it is told nothing more"]
    assert failing.told.index(broken) == len(failing.told) - 1
    assert set(other.told) == set(REPORTS)
    assert rig.chat.users["bob"].connections()
    await end(ann, bob)
