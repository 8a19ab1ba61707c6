"""A client without sockets: an ASGI peer in the same loop, for tests of a protocol.

It speaks to the whole application, middleware included, as a server would. On virtual time waiting for what can
never come fails at once and shows what is there; on another loop it fails after a timeout.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from urllib.parse import quote

import orjson
from pydantic import BaseModel, ValidationError

from protocol import codes
from protocol.asyncapi.served import sockets
from protocol.envelope import Envelope
from protocol.messages import tags_of
from protocol.node import NODE, Node
from protocol.testing.clock import VirtualLoop
from protocol.testing.wire import MemoryWire
from protocol.types import WIRE, ASGIApp, Ref, Scope, User

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

Body = dict[str, Any]


class Refused(Exception):
    """The handshake was answered by HTTP instead of being accepted."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        path: str | None = None,
        served: Iterable[str] = (),
    ) -> None:
        """``served``: the paths of the application, where ``path`` may be none of them."""
        to = "" if path is None else f" to {path!r}"
        why = f": {body.decode(errors='replace')}" if body else "."
        paths = ", ".join(map(repr, served))
        there = f" Protocols are served at {paths}." if paths else ""
        super().__init__(f"The connection{to} was refused with {status}{why}{there}")
        self.status = status
        self.headers = headers
        self.body = body


class Client:
    """A client of ``app``, connected between ``async with``.

    ``user`` is who an authentication middleware would have found out. ``patience``: real seconds to wait where
    time is not virtual. ``node`` serves the connection, where there are several. ``wire`` offers the way past
    ``send`` that the framework's own server has; without it the client is as on any other server.

    Attributes:
        frames: every frame that came and was not expected yet, decoded.
        closed: the code and reason of the close frame; 1006 where the server went without one.
    """

    def __init__(
        self,
        app: ASGIApp,
        path: str = "/ws",
        *,
        user: User | str | None = None,
        query: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        subprotocols: Iterable[str] = (),
        client: tuple[str, int] | None = ("127.0.0.1", 50000),
        envelope: Envelope | None = None,
        node: Node | None = None,
        wire: bool = False,
        patience: float = 5.0,
    ) -> None:
        self.app = app
        self.frames: list[Body] = []
        self.accepted: MutableMapping[str, Any] | None = None
        self.closed: tuple[int, str] | None = None
        self._envelope = Envelope() if envelope is None else envelope
        self._patience = patience
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        offered = list(subprotocols)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
        if offered:
            raw.append((b"sec-websocket-protocol", ", ".join(offered).encode()))
        self.scope: Scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": quote(path).encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"testserver"), *raw],
            "client": client,
            "server": ("testserver", 80),
            "subprotocols": offered,
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        if user is not None:
            self.scope["user"] = User(user) if isinstance(user, str) else user
        if node is not None:
            self.scope[NODE] = node
        self._wire = MemoryWire(self._take, self._arrived, self._reset) if wire else None
        if wire:
            self.scope["extensions"][WIRE] = self._wire
        self._ids = itertools.count(1)
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._response: MutableMapping[str, Any] | None = None
        self._response_body = b""

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # The connection.

    async def connect(self) -> Self:
        """Shake hands. Raises ``Refused``."""
        self._events.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run())
        while self.accepted is None and not self._task.done():
            if not await self._wait():
                raise AssertionError("The application neither accepts nor refuses.")
        if self.accepted is None:
            self._task.result()
            if self._response is not None:
                found = {name.decode(): value.decode() for name, value in self._response.get("headers", [])}
                raise Refused(self._response["status"], found, self._response_body, path=self.scope["path"])
            served = dict.fromkeys(socket.path for socket in sockets(self.app))
            raise Refused(403, {}, b"", path=self.scope["path"], served=served)
        return self

    async def close(self, code: int = codes.NORMAL, reason: str = "") -> None:
        """Close, and wait until the application has finished. What it raises is raised here."""
        self._events.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.resume()
        if self._task is not None:
            await self._task

    def drop(self) -> None:
        """Vanish without a close frame; the application finds out in its own time."""
        self._events.put_nowait({"type": "websocket.disconnect", "code": codes.ABNORMAL})
        self.resume()

    def pause(self) -> None:
        """Read nothing more: what the server sends waits in its outbox."""
        self._reading.clear()
        if self._wire is not None:
            self._wire.pause()

    def resume(self) -> None:
        """Read again."""
        self._reading.set()
        if self._wire is not None:
            self._wire.resume()

    # Talking.

    async def send(
        self, message: BaseModel | Body | str | bytes, *, id: Ref | None = None, key: str | None = None
    ) -> None:
        """Send a message, a JSON object, or a raw frame (``str``: text, ``bytes``: binary)."""
        if isinstance(message, str | bytes):
            kind = "text" if isinstance(message, str) else "bytes"
            self._events.put_nowait({"type": "websocket.receive", kind: message})
            return
        body = (
            message.model_dump(mode="json", by_alias=True)
            if isinstance(message, BaseModel)
            else dict(message)
        )
        for name, value in ((self._envelope.id, id), (self._envelope.key, key)):
            if name is not None and value is not None:
                body[name] = value
        self._events.put_nowait({"type": "websocket.receive", "text": orjson.dumps(body).decode()})

    @overload
    async def request(
        self, message: BaseModel | Body, *, key: str | None = None, within: float = 0
    ) -> Body: ...

    @overload
    async def request(
        self, message: BaseModel | Body, answer: type[M], *, key: str | None = None, within: float = 0
    ) -> M: ...

    async def request(
        self,
        message: BaseModel | Body,
        answer: type[M] | None = None,
        *,
        key: str | None = None,
        within: float = 0,
    ) -> Body | M:
        """Send a message with an ``id`` and return what answers it, of the type ``answer``, or as it is.

        ``within`` is that of :meth:`expect`.
        """
        id = next(self._ids)
        await self.send(message, id=id, key=key)
        ref = self._envelope.ref or "ref"
        body = await self._find(lambda frame: frame.get(ref) == id, f"answer to the id {id}", within)
        if answer is None:
            return body
        found = self._read(answer, body)
        if found is None:
            raise AssertionError(f"The answer is no {answer.__name__}: {body}")
        return found

    @overload
    async def expect(self, type: type[M], /, *, within: float = 0, **fields: Any) -> M: ...

    @overload
    async def expect(self, type: str, /, *, within: float = 0, **fields: Any) -> Body: ...

    async def expect(self, type: type[M] | str, /, *, within: float = 0, **fields: Any) -> M | Body:
        """Take the first message of ``type`` with these ``fields``; what came before it stays for later.

        ``within`` lets so many seconds pass; without it only what needs no time can come.
        """
        name = type if isinstance(type, str) else type.__name__
        what = f"{name}({', '.join(f'{field}={value!r}' for field, value in fields.items())})"
        if isinstance(type, str):
            return await self._find(lambda frame: _matches(frame, {"type": type, **fields}), what, within)

        def matches(frame: Body) -> bool:
            message = self._read(type, frame)
            return message is not None and all(
                getattr(message, field, frame.get(field)) == value for field, value in fields.items()
            )

        found = self._read(type, await self._find(matches, what, within))
        assert found is not None
        return found

    async def expect_nothing(self) -> None:
        """Nothing has come that was not expected, and nothing more comes by itself."""
        await self._settle()
        if self.frames:
            raise AssertionError(f"Nothing was expected. {self._there()}")

    async def expect_close(self, code: int | None = None, *, within: float = 0) -> tuple[int, str]:
        """Wait for the server to close, and return the code and reason."""
        closed = await self._until(lambda: self.closed, within)
        if closed is None:
            raise AssertionError(f"The connection is open. {self._there(within)}")
        if code is not None and closed[0] != code:
            raise AssertionError(f"A close with {code} was expected, not {closed}.")
        return closed

    # Parts.

    async def _find(self, matches: Callable[[Body], bool], what: str, within: float) -> Body:
        def take() -> Body | None:
            for index, frame in enumerate(self.frames):
                if matches(frame):
                    return self.frames.pop(index)
            return None

        found = await self._until(take, within)
        if found is None:
            raise AssertionError(f"No {what} came. {self._there(within)}")
        return found

    async def _until(self, look: Callable[[], T | None], within: float) -> T | None:
        """What ``look`` finds as soon as it finds something; ``None`` if it does not in time, or by the close."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while (found := look()) is None and self.closed is None:
            left = end - loop.time() if within else 0
            if (within and left <= 0) or not await self._wait(left):
                break
        return found

    async def _wait(self, within: float = 0) -> bool:
        """Wait for anything to happen; false if nothing does."""
        self._changed.clear()
        if isinstance(asyncio.get_running_loop(), VirtualLoop) and not within:
            await self._settle()
            return self._changed.is_set()
        try:
            async with asyncio.timeout(within or self._patience):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            await loop.settle()
        else:
            await asyncio.sleep(0.05)

    def _there(self, within: float | None = None) -> str:
        """What is there instead, for the text of a failure; ``within``: the seconds after which it had not come."""
        came = "\n".join(f"  {frame}" for frame in self.frames) or "  nothing"
        end = ""
        if self.closed is not None:
            end = f"\nThe connection is closed: {self.closed[0]} {self.closed[1]}"
        elif within == 0 and isinstance(asyncio.get_running_loop(), VirtualLoop):
            end = "\nNo time has passed. If it takes some, say how much: within=seconds."
        return f"There is:\n{came}{end}"

    def _read(self, model: type[M], frame: Body) -> M | None:
        names = {field.alias or name for name, field in model.model_fields.items()}
        beside = {name for name in self._envelope.outbound if name not in names}
        body = {name: value for name, value in frame.items() if name not in beside}
        if not any(tag in frame.values() for tag in tags_of(model)):
            return None
        try:
            return model.model_validate_json(orjson.dumps(body))
        except ValidationError:
            return None

    async def _run(self) -> None:
        try:
            await self.app(self.scope, self._events.get, self._take)
        finally:
            if self.closed is None and self.accepted is not None:
                self.closed = (codes.ABNORMAL, "")
            self._changed.set()

    async def _take(self, event: MutableMapping[str, Any]) -> None:
        """What the application sends."""
        if self._wire is not None:
            self._wire.flush()
        await self._reading.wait()
        kind = event["type"]
        if kind == "websocket.accept":
            self.accepted = event
        elif kind == "websocket.send":
            text = event.get("text")
            self._arrived(event["bytes"] if text is None else text)
        elif kind == "websocket.close" and self.accepted is not None:
            self.closed = (event.get("code", codes.NORMAL), event.get("reason") or "")
            self._events.put_nowait({"type": "websocket.disconnect", "code": self.closed[0]})
        elif kind == "websocket.http.response.start":
            self._response = event
        elif kind == "websocket.http.response.body":
            self._response_body += event.get("body", b"")
        self._changed.set()

    def _arrived(self, frame: str | bytes) -> None:
        self.frames.append(orjson.loads(frame))
        self._changed.set()

    def _reset(self) -> None:
        """The server has aborted the connection."""
        self.closed = (codes.ABNORMAL, "")
        self._events.put_nowait({"type": "websocket.disconnect", "code": codes.ABNORMAL})
        self._changed.set()


def _matches(frame: Body, fields: Body) -> bool:
    return all(frame.get(name) == value for name, value in fields.items())
