"""Plays the steps of a transcript, and writes down what came back.

Where they are played is a :class:`Stage`: an application in this process, or a server behind a URL. After each step
the player waits until the server has dealt with it: until the barrier of every client that sent something is
answered, where there is one, and whatever else the caller is waiting for has come.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from protocol.testing.client import Refused
from protocol.testing.memory import Memory
from protocol.testing.steps import (
    Burst,
    Close,
    Connect,
    Data,
    Drop,
    Fault,
    Pause,
    Resume,
    Seed,
    Send,
    Step,
    Vanish,
    Wait,
    dumped,
    parsed,
)
from protocol.testing.transcript import Barrier, Exchange


class Peer(Protocol):
    """One connection of one client.

    Attributes:
        received: the frames that have come, in order; who reads them may take them out.
        closed: code and reason of the server's close, 1006 where it went without one; ``None`` while it is open.
        crash: what escaped from the application, where that can be seen.
    """

    received: list[Data]
    closed: tuple[int, str] | None

    @property
    def crash(self) -> BaseException | None: ...

    async def send(self, data: Data, /) -> None:
        """Send one frame. After the end of the connection nothing happens."""

    async def close(self) -> None:
        """Close with 1000, and wait until the server is done. Raises ``TimeoutError``."""

    def drop(self) -> None:
        """Vanish without a close frame."""

    def pause(self) -> None:
        """Read nothing more."""

    def resume(self) -> None:
        """Read again."""


class Stage(Protocol):
    """Where steps are played.

    ``distant``: what the server has sent may still be on its way when an answer to somebody else is there.
    ``stalled``: the clients that get nothing for now, because a fault keeps their server from working.
    """

    distant: bool

    @property
    def stalled(self) -> Collection[int]: ...

    async def connect(self, step: Connect) -> Peer | None:
        """Connect; ``None`` where that cannot be. Raises ``Refused``, and ``TimeoutError`` where no answer comes."""

    async def do(self, step: Fault | Seed | Vanish) -> bool:
        """Let happen what no client does; false where that cannot be."""

    async def settle(self, done: Callable[[], bool]) -> bool:
        """Let happen what happens until ``done``, or nothing more comes; returns whether it is done."""

    async def calm(self) -> None:
        """Let happen what happens without anybody doing anything."""

    async def wait(self, seconds: float) -> None:
        """Let time pass."""


Headers = Mapping[str, str]


def offered(headers: Headers) -> tuple[dict[str, str], list[str]]:
    """The headers of a handshake without the subprotocols that are named in them, and those."""
    subprotocols = "sec-websocket-protocol"
    rest = {name: value for name, value in headers.items() if name.lower() != subprotocols}
    named = [value for name, value in headers.items() if name.lower() == subprotocols]
    return rest, [one.strip() for value in named for one in value.split(",")]


@dataclass(slots=True)
class Happening:
    """What is known of a step while it is played.

    ``number`` counts the steps that could be. ``speakers``: who was there and sent something. ``paused``: who gets
    nothing, because it does not read or is stalled.
    """

    number: int
    step: Step
    speakers: Collection[int] = ()
    paused: Collection[int] = ()
    received: dict[int, list[Data]] = field(default_factory=dict)
    closed: dict[int, tuple[int, str]] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    crashed: dict[int, str] = field(default_factory=dict)


Until = Callable[[Happening], bool]
"""Whether what a step was to bring has come; asked again and again."""


async def play(
    steps: Iterable[Step], stage: Stage, *, barrier: Barrier | None = None, until: Until | None = None
) -> tuple[Exchange, ...]:
    """Play ``steps``, as far as they can be: a client that is not connected sends nothing.

    Returns the exchanges of what was done.
    """
    return await _Player(stage, barrier, until).play(steps)


_MARK: Final = "barrier-"


class _Player:
    def __init__(self, stage: Stage, barrier: Barrier | None, until: Until | None) -> None:
        self._stage = stage
        self._barrier = barrier
        self._until = until
        self._peers: dict[int, Peer] = {}
        self._paused: set[int] = set()
        self._silent: set[int] = set()
        self._left: dict[int, Peer] = {}
        self._barriers = 0
        self._waiting: dict[int, str] = {}
        self._now = Happening(0, Wait(0))

    async def play(self, steps: Iterable[Step]) -> tuple[Exchange, ...]:
        steps = tuple(steps)
        memory = Memory(steps)
        exchanges: list[Exchange] = []
        for step in map(memory.resolved, steps):
            self._now = Happening(len(exchanges), step)
            speakers = await self._do(step)
            if speakers is None:
                continue
            self._now.speakers = speakers
            self._now.paused = self._paused.union(self._stage.stalled)
            await self._settle(speakers)
            now = self._now
            memory.note(now.received)
            exchanges.append(
                Exchange(
                    step,
                    {client: tuple(frames) for client, frames in now.received.items() if frames},
                    now.closed,
                    now.refused,
                    frozenset(now.silent),
                    now.crashed,
                )
            )
        return tuple(exchanges)

    async def _do(self, step: Step) -> set[int] | None:
        """Do what the step says, and return who sent something; ``None`` where nothing can be done."""
        match step:
            case Connect(client):
                return None if client in self._peers else await self._connect(step)
            case Send():
                return await self._send([step])
            case Burst(sends):
                return await self._send(sends)
            case Wait(seconds):
                await self._stage.wait(seconds)
                return set()
            case Pause(client) | Resume(client) | Close(client) | Drop(client):
                peer = self._peers.get(client)
                return None if peer is None else await self._leave(step, peer)
            case Fault() | Seed() | Vanish():
                return await self._happen(step)

    async def _leave(self, step: Close | Drop | Pause | Resume, peer: Peer) -> set[int] | None:
        client = step.client
        match step:
            case Pause():
                if client in self._paused:
                    return None
                self._paused.add(client)
                peer.pause()
                return set()
            case Resume():
                if client not in self._paused:
                    return None
                self._paused.discard(client)
                peer.resume()
                return {client}
        self._take()
        self._forget(client)
        self._left[client] = peer
        if isinstance(step, Drop):
            peer.drop()
            return set()
        try:
            await peer.close()
        except TimeoutError:
            self._now.silent.add(client)
        return set()

    async def _happen(self, step: Fault | Seed | Vanish) -> set[int] | None:
        self._take()
        if (isinstance(step, Vanish) and step.client not in self._peers) or not await self._stage.do(step):
            return None
        if isinstance(step, Vanish):
            self._forget(step.client)
        return set()

    async def _connect(self, step: Connect) -> set[int] | None:
        client = step.client
        try:
            peer = await self._stage.connect(step)
        except Refused as refused:
            self._now.refused[client] = refused.status
            return set()
        except TimeoutError:
            self._now.silent.add(client)
            return set()
        if peer is None:
            return None
        self._peers[client] = peer
        if step.opening is not None:
            await peer.send(step.opening)
        return {client}

    async def _send(self, sends: Iterable[Send]) -> set[int] | None:
        speakers = set()
        for send in sends:
            if (peer := self._peers.get(send.client)) is not None:
                await peer.send(send.data)
                speakers.add(send.client)
        return speakers or None

    # Waiting.

    async def _settle(self, speakers: set[int]) -> None:
        """Wait for who spoke, then for what that brought to the others."""
        now = self._now
        if self._stage.distant:
            # Time is real there: for who was not served once nobody waits again.
            now.silent |= self._silent & speakers
        unheard = now.silent.union(now.paused)
        active = [client for client in speakers if client in self._peers and client not in unheard]
        await self._ask(active)

        def answered() -> bool:
            self._take()
            return not self._waiting

        def done() -> bool:
            return answered() and (self._until is None or self._until(now))

        if not await self._stage.settle(done):
            now.silent.update(self._waiting.keys() - set(self._stage.stalled))
        if self._barrier is None or not self._stage.distant:
            await self._stage.calm()
        else:
            unheard = self._silent.union(now.paused, speakers)
            rest = [client for client in self._peers if client not in unheard]
            await self._ask(rest)
            if not await self._stage.settle(answered):
                now.silent.update(self._waiting)
        self._take()
        self._waiting.clear()
        self._silent |= now.silent & self._peers.keys()
        for client, peer in self._left.items():
            if peer.crash is not None:
                now.crashed[client] = repr(peer.crash)
        self._left.clear()

    async def _ask(self, clients: Iterable[int]) -> None:
        if self._barrier is None:
            return
        for client in clients:
            self._barriers += 1
            mark = f"{_MARK}{self._barriers}"
            self._waiting[client] = mark
            await self._peers[client].send(dumped({**self._barrier.message, self._barrier.id: mark}))

    def _take(self) -> None:
        """Write down what has come."""
        now = self._now
        for client, peer in list(self._peers.items()):
            if peer.received:
                frames, peer.received[:] = list(peer.received), []
                for data in frames:
                    if not self._is_barrier(data):
                        now.received.setdefault(client, []).append(data)
                    elif self._waiting.get(client) == self._ref(data):
                        del self._waiting[client]
            if peer.closed is not None:
                now.closed[client] = peer.closed
                if peer.crash is not None:
                    now.crashed[client] = repr(peer.crash)
                self._forget(client)

    def _forget(self, client: int) -> None:
        self._peers.pop(client, None)
        self._paused.discard(client)
        self._silent.discard(client)
        self._waiting.pop(client, None)

    def _is_barrier(self, data: Data) -> bool:
        return isinstance(data, str) and _MARK in data and isinstance(self._ref(data), str)

    def _ref(self, data: Data) -> str | None:
        body = parsed(data)
        ref = None if body is None or self._barrier is None else body.get(self._barrier.ref)
        return ref if isinstance(ref, str) and ref.startswith(_MARK) else None
