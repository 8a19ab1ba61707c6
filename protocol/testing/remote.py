"""A server behind a URL as a :class:`protocol.testing.player.Stage`, over real sockets and in real time."""

import asyncio
import json
import re
import secrets
import string
from collections.abc import Callable, Collection
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from protocol import codes
from protocol.exceptions import ConfigurationError
from protocol.testing.client import Refused
from protocol.testing.player import Headers, offered
from protocol.testing.steps import Connect, Data, Fault, Seed, Vanish, parsed

PATIENCE: Final = 5.0
"""Seconds after which a server that does not answer counts as silent."""

QUIET: Final = 0.02
"""Seconds without a frame after which no more is expected, where no barrier says so."""

NOBODY: Final = 0
"""In place of the status of a handshake: nothing listened any more, where there was a server before."""

_LONGEST: Final = 64
"""The most characters in the name of a room, unless more is known."""

_ALPHABET: Final = string.ascii_lowercase + string.digits


def named_in(member: str) -> re.Pattern[str]:
    """Finds each room that the text of a frame names in ``member``: its second group, a text of JSON with its quotes."""
    return re.compile(rf'("{re.escape(member)}"\s*:\s*)("(?:[^"\\]|\\.)+")')


def with_suffix(room: str, suffix: str) -> str:
    """The name of a room with something behind it, unless that is longer than names may be."""
    return room + suffix if len(room + suffix) <= _LONGEST else room


class FreshRooms:
    """Gives each room that a message names in ``member`` a name that nobody has used.

    Only what is on the wire is called so: what comes back has the names that were given. Rooms that the server has
    named itself keep their names. ``fresh`` makes a name of the given one and of a text that nobody has used, which
    has to be in it as it is; or it returns the given one.
    """

    def __init__(self, member: str, fresh: Callable[[str, str], str]) -> None:
        self._fresh = fresh
        self._named = named_in(member)
        self._suffix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        self._known: set[str] = set()

    def there(self, data: Data) -> Data:
        """A frame on its way to the server; what is no JSON goes as it is."""
        if isinstance(data, bytes) or parsed(data) is None:
            return data
        return self._named.sub(self._renamed, data)

    def _renamed(self, found: re.Match[str]) -> str:
        room = json.loads(found[2])
        name = self.name(room)
        # What was escaped stays so: it may be nothing that UTF-8 has.
        return found[0] if name == room else found[1] + json.dumps(name, ensure_ascii="\\" in found[2])

    def name(self, room: str) -> str:
        """What a room is called on the wire."""
        return room if room in self._known else self._fresh(room, self._suffix)

    def path(self, step: Connect) -> str | None:
        """The path of a handshake."""
        if step.path is None or step.room is None:
            return step.path
        before, _, after = step.path.rpartition(step.room)
        return before + self.name(step.room) + after

    def back(self, data: Data) -> Data:
        """A frame that came from the server."""
        if isinstance(data, bytes):
            return data
        if parsed(data) is not None:
            rooms = (json.loads(found[2]) for found in self._named.finditer(data))
            self._known.update(room for room in rooms if self._suffix not in room)
        return data.replace(self._suffix, "")


class SocketPeer:
    """One connection over a socket."""

    def __init__(self, socket: ClientConnection, arrival: asyncio.Event, rooms: FreshRooms | None) -> None:
        self.received: list[Data] = []
        self.closed: tuple[int, str] | None = None
        self.crash: BaseException | None = None
        self._socket = socket
        self._arrival = arrival
        self._rooms = rooms
        self._reading = asyncio.Event()
        self._reading.set()
        self._leaving = False
        self._reader = asyncio.create_task(self._read())

    async def send(self, data: Data, /) -> None:
        try:
            await self._socket.send(data if self._rooms is None else self._rooms.there(data))
        except ConnectionClosed:
            if self._reading.is_set():  # who does not read does not see the end either
                await self._reader

    async def close(self) -> None:
        self._leaving = True
        self._reading.set()
        async with asyncio.timeout(PATIENCE):
            await self._socket.close()
            await self._reader

    def drop(self) -> None:
        self._leaving = True
        self._reading.set()
        self._socket.transport.abort()

    def pause(self) -> None:
        self._reading.clear()

    def resume(self) -> None:
        self._reading.set()

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                data = await self._socket.recv()
                await self._reading.wait()  # it may have stopped while this one was awaited
                self.received.append(data if self._rooms is None else self._rooms.back(data))
                self._arrival.set()
        except ConnectionClosed as end:
            if not self._leaving:
                close = end.rcvd
                self.closed = (codes.ABNORMAL, "") if close is None else (close.code, close.reason)
        self._arrival.set()


class Remote:
    """The server at ``url`` as a stage. ``headers``: those of a client's handshake.

    A path of a step replaces that of ``url``. ``rooms``: the member of messages that names a room, which is then a
    fresh one for each stage, with a name by ``fresh`` (see :class:`FreshRooms`). Where nothing listens, connecting raises
    ``OSError``, unless the server was ``reached`` before: then it has ended, and refuses with :data:`NOBODY`. What else
    keeps it from being reached is a ``ConfigurationError``.
    """

    distant = True
    stalled: Collection[int] = ()

    def __init__(
        self,
        url: str,
        headers: Callable[[int], Headers],
        *,
        rooms: str | None = None,
        fresh: Callable[[str, str], str] = with_suffix,
        patience: float = PATIENCE,
        reached: bool = False,
    ) -> None:
        self.reached = reached
        self._url = url
        self._rooms = None if rooms is None else FreshRooms(rooms, fresh)
        self._headers = headers
        self._patience = patience
        self._arrival = asyncio.Event()
        self._peers: list[SocketPeer] = []

    async def connect(self, step: Connect) -> SocketPeer:
        given = step.path if self._rooms is None else self._rooms.path(step)
        url = urlsplit(self._url)
        if given is not None:
            path, _, query = given.partition("?")
            url = url._replace(path=path, query=query or url.query)
        headers, subprotocols = offered(self._headers(step.client))
        try:
            socket = await connect(
                urlunsplit(url),
                additional_headers=headers,
                subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                compression=None,
                max_size=None,
                ping_interval=None,
                open_timeout=self._patience,
                close_timeout=self._patience,
            )
        except InvalidStatus as refusal:
            response = refusal.response
            raise Refused(
                response.status_code, dict(response.headers.raw_items()), bytes(response.body or b"")
            ) from None
        except (InvalidHandshake, EOFError, OSError) as error:
            if _is_absence(error):
                if not self.reached:
                    raise
                raise Refused(NOBODY, {}, b"") from None
            if not self.reached and not isinstance(error, TimeoutError):
                raise ConfigurationError(
                    f"{self._url} does not shake hands: {error}. See that it is the address of a WebSocket, and that "
                    "ws or wss is what is spoken there."
                ) from None
            raise TimeoutError(f"The server does not shake hands: {error}") from None
        self.reached = True
        peer = SocketPeer(socket, self._arrival, self._rooms)
        self._peers.append(peer)
        return peer

    async def do(self, step: Fault | Seed | Vanish) -> bool:
        return False

    async def settle(self, done: Callable[[], bool]) -> bool:
        deadline = asyncio.get_running_loop().time() + self._patience
        try:
            async with asyncio.timeout_at(deadline):
                while not done():
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            return done()
        return True

    async def calm(self) -> None:
        """Without a barrier, quiet is all there is to go by."""
        while True:
            self._arrival.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await self._arrival.wait()
            except TimeoutError:
                return

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Vanish with all connections that are left."""
        for peer in self._peers:
            peer.drop()
        await asyncio.gather(*(peer._reader for peer in self._peers))


def _is_absence(error: Exception) -> bool:
    """Whether nothing listens; a name of several addresses is refused by an ``OSError`` without a number."""
    return isinstance(error, ConnectionRefusedError) or (type(error) is OSError and error.errno is None)
