"""The chat protocol without its limits, and a client of it that comes back wherever it was thrown out."""

from typing import Any

from fastapi import FastAPI

from handlers.direct import direct_router
from handlers.presence import presence_router
from handlers.rooms import rooms_router
from protocol import MessageProtocol, Rate
from protocol.testing import Simulation
from protocol.testing.process import SimulatedClient
from schemas.names import Since
from schemas.rooms import Join
from tests.served import served

ANY = Rate(1e6, burst=10**6)

chat = MessageProtocol("Chat")
chat.include_router(rooms_router(messages=ANY, memberships=ANY))
chat.include_router(direct_router(messages=ANY))
chat.include_router(presence_router(messages=ANY))


def create_app() -> FastAPI:
    """One application of many that serve the one protocol, as processes do."""
    return served(chat)


class Said(dict[int, tuple[str, str]]):
    """What was said in a room at each offset, as everybody must have seen it."""

    def __setitem__(self, offset: int, said: tuple[str, str]) -> None:
        assert self.get(offset, said) == said, f"The offset {offset} is {self[offset]} and {said}."
        super().__setitem__(offset, said)


class Resuming:
    """One person in one room. Reads in order, and goes on from the last message that it saw.

    Attributes:
        said: everything that it or another has seen.
        position: that of the last message it saw.
    """

    def __init__(self, simulation: Simulation, user: str, said: Said, room: str = "r") -> None:
        self.user = user
        self.said = said
        self.position: Since | None = None
        self.acknowledged: dict[str, int] = {}
        self._simulation = simulation
        self._room = room
        self._read = 0
        self._since: Since | None = None
        self._joined = False
        self._keys: dict[int, str] = {}
        self.client: SimulatedClient | None = None

    async def come(self, node: int) -> bool:
        """Connect and ask to be let in. False: nobody answers."""
        try:
            self.client = await self._simulation.connect(self.user, node=node)
        except ConnectionError:
            self.client = None
            return False
        self._read, self._joined, self._since = 0, False, self.position
        await self.client.send(Join(room=self._room, since=self._since), id="join")
        return True

    @property
    def closed(self) -> bool:
        """The connection is gone."""
        return self.client is None or self.client.closed is not None

    async def say(self, text: str, *, key: str | None = None) -> None:
        """Say something; its acknowledgement is seen in ``read``."""
        assert self.client is not None
        await self.client.send({"type": "message", "room": self._room, "text": text}, id=text, key=key)

    def read(self) -> None:
        """Look at what has come, frame by frame."""
        assert self.client is not None
        for frame in self.client.frames[self._read :]:
            self._frame(frame)
        self._read = len(self.client.frames)

    def _frame(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "joined":
            assert not self._joined
            self._joined = True
            assert frame["recovered"] == (self._since is not None)
            if self._since is None:
                self.position = Since(offset=frame["offset"], epoch=frame["epoch"])
        elif frame["type"] == "message":
            assert self._joined, "A message came before the answer to the join."
            assert self.position is not None
            assert frame["offset"] == self.position.offset + 1, (
                f"{frame['offset']} follows on {self.position.offset}"
            )
            self.said[frame["offset"]] = (frame["user"], frame["text"])
            self.position = Since(offset=frame["offset"], epoch=self.position.epoch)
        elif frame["type"] == "ack" and frame["ref"] != "join":
            assert self.acknowledged.setdefault(frame["ref"], frame["offset"]) == frame["offset"]
        elif frame["type"] == "error" and frame.get("ref") == "join":
            # Without an answer it is unknown whether one is in the room.
            assert frame["retryable"]
            assert self.client is not None
            self.client.cut()
        else:
            assert frame["type"] in {"member_joined", "member_left"} or frame.get("retryable"), frame

    def go(self) -> None:
        """Be cut off, in one way or another."""
        assert self.client is not None
        self._simulation.random.choice((self.client.cut, self.client.vanish))()
        self.read()
