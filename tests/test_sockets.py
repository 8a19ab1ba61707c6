"""The same over real sockets, through uvicorn's own WebSocket class and through ours."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Query
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from protocol import Connection, Message, MessageProtocol, Outbox, Room, User
from protocol.servers.http import HTTPProtocol
from protocol.servers.uvicorn import WebSocketProtocol

SERVERS: dict[str, dict[str, Any]] = {
    "stock": {"ws": "websockets-sansio"},
    "ours": {"ws": WebSocketProtocol, "http": HTTPProtocol, "ws_per_message_deflate": False},
}


class Join(Message, type="join"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


class Came(Message, type="came"):
    user: str


class Left(Message, type="left"):
    user: str


class Wait(Message, type="wait"):
    seconds: float


class Count(Message, type="count"):
    to: int


class Number(Message, type="number"):
    value: int


def current_user(name: Annotated[str, Query()] = "") -> User:
    if not name:
        raise HTTPException(401, "Say who you are.", {"WWW-Authenticate": "Bearer"})
    if name == "mallory":
        raise HTTPException(403, "Not you.")
    return User(name)


def create_app(**options: Any) -> tuple[FastAPI, MessageProtocol]:
    chat = MessageProtocol("Chat", path=("/ws", "/ws/{room}"), user=current_user, **options)

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room) -> Came:
        return Came(user=user.id)

    @chat.on_leave
    async def left(user: User, room: Room) -> Left:
        return Left(user=user.id)

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Say)
    async def say(message: Say, room: Room) -> None:
        await room.publish(message)

    @chat.on(Wait)
    async def wait(message: Wait) -> None:
        await asyncio.sleep(message.seconds)

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        for value in range(message.to):
            yield Number(value=value)

    app = FastAPI()
    app.include_router(chat.router)
    return app, chat


class Server(uvicorn.Server):
    def __init__(self, app: FastAPI, name: str) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_config=None, loop="asyncio", **SERVERS[name]))
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"


@contextmanager
def running(app: FastAPI, name: str) -> Iterator[Server]:
    """Serve ``app`` in a thread."""
    server = Server(app, name)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.up.wait(10)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Person:
    """A client; what comes is kept until it is asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self._ids = 0

    async def expect(self, **fields: Any) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                for index, frame in enumerate(self.frames):
                    if fields.items() <= frame.items():
                        return self.frames.pop(index)
                self.frames.append(json.loads(await self.socket.recv()))

    async def request(self, **body: Any) -> dict[str, Any]:
        self._ids += 1
        await self.socket.send(json.dumps({**body, "id": self._ids}))
        return await self.expect(ref=self._ids)

    def vanish(self) -> None:
        """Reset the connection, as a cable that is cut and a host that comes back."""
        raw = self.socket.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()


class People(AsyncExitStack):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    async def enter(self, name: str, path: str = "/ws") -> Person:
        return Person(
            await self.enter_async_context(connect(f"{self.url}{path}?name={name}", compression=None))
        )


def play(server: str, scenario: Callable[[People, MessageProtocol], Awaitable[None]], **options: Any) -> None:
    app, chat = create_app(**options)

    async def whole(url: str) -> None:
        async with People(url) as people:
            await scenario(people, chat)

    with running(app, server) as one:
        asyncio.run(whole(one.url))
    assert chat.nodes._alive() == []


def test_three_users_in_two_rooms_and_two_tabs_of_one(server: str) -> None:
    async def scenario(people: People, chat: MessageProtocol) -> None:
        ann, tab, bob, carl = [await people.enter(name) for name in ("ann", "ann", "bob", "carl")]
        for person, rooms in ((bob, "ab"), (ann, "a"), (tab, "a"), (carl, "b")):
            for room in rooms:
                assert (await person.request(type="join", room=room))["type"] == "ack"
        await bob.expect(type="came", user="ann")
        await bob.expect(type="came", user="carl")
        await ann.request(type="say", room="a", text="hi a")
        await bob.request(type="say", room="b", text="hi b")
        for person in (ann, tab, bob):
            await person.expect(type="say", text="hi a")
        for person in (bob, carl):
            await person.expect(type="say", text="hi b")
        assert (await carl.request(type="say", room="a", text="x"))["code"] == "not_a_member"
        await ann.socket.close()
        assert (await bob.request(type="ping"))["type"] == "pong"
        await tab.socket.close()
        await bob.expect(type="left", user="ann")
        for person in (bob, carl):
            assert (await person.request(type="ping"))["type"] == "pong"
            assert person.frames == []

    play(server, scenario)


@pytest.mark.parametrize(
    "path, status",
    [("/ws", 401), ("/ws?name=mallory", 403), ("/ws/no%20room?name=ann", 404), ("/nowhere?name=ann", 403)],
)
def test_refusals_come_before_accept(server: str, path: str, status: int) -> None:
    async def scenario(people: People, chat: MessageProtocol) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{people.url}{path}")
        assert refused.value.response.status_code == status

    play(server, scenario)


def test_abrupt_disconnects_at_every_moment_leave_nothing(server: str) -> None:
    async def scenario(people: People, chat: MessageProtocol) -> None:
        watch = await people.enter("watch")
        await watch.request(type="join", room="a")
        frames = [
            json.dumps(body)
            for body in (
                {"type": "join", "room": "a", "id": 1},
                {"type": "say", "room": "a", "text": "hi", "id": 2},
                {"type": "wait", "seconds": 60, "id": 3},
                {"type": "count", "to": 100_000, "id": 4},
            )
        ]
        for sent in range(len(frames) + 1):
            for pause in (0, 0.005):
                person = await people.enter(f"p{sent}{pause}")
                for frame in frames[:sent]:
                    await person.socket.send(frame)
                await asyncio.sleep(pause)
                person.vanish()
        # A refused handshake and a half one, too.
        host, port = people.url.removeprefix("ws://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.send(b"GET /ws?name=x HTTP/1.1\r\n")
        (node,) = chat.nodes._alive()
        async with asyncio.timeout(10):
            while len(node.hub.fanout) != 3 or len(node.presence) != 3:  # type: ignore[arg-type] # noqa: ASYNC110
                await asyncio.sleep(0.01)
        watch.frames.clear()
        assert (await watch.request(type="ping"))["type"] == "pong"

    play(server, scenario)


def test_a_suspended_handler_is_cancelled_by_its_client(server: str) -> None:
    async def scenario(people: People, chat: MessageProtocol) -> None:
        ann = await people.enter("ann")
        await ann.socket.send('{"type":"wait","seconds":60,"id":"w"}')
        await ann.socket.send('{"type":"cancel","ref":"w"}')
        assert (await ann.expect(ref="w"))["code"] == "cancelled"

    play(server, scenario)


def test_a_stream_keeps_the_pace_of_its_reader(server: str) -> None:
    async def scenario(people: People, chat: MessageProtocol) -> None:
        ann = await people.enter("ann")
        await ann.socket.send('{"type":"count","to":20000,"id":1}')
        for value in range(20_000):
            assert json.loads(await ann.socket.recv())["value"] == value
        await ann.expect(type="ack", ref=1)

    play(server, scenario, outbox=Outbox(bytes=1 << 16))


def test_a_peer_that_does_not_read_slows_nobody_and_is_forgotten(server: str) -> None:
    async def scenario(people: People, chat: MessageProtocol) -> None:
        ann, bob = await people.enter("ann"), await people.enter("bob")
        await ann.request(type="join", room="a")
        await bob.request(type="join", room="a")
        bob.socket.transport.pause_reading()
        for index in range(200):
            await ann.request(type="say", room="a", text="x" * 60_000)
            if index and not chat.nodes._alive()[0].publisher.connections_of("bob"):
                break
        await ann.expect(type="left", user="bob")
        assert chat.nodes._alive()[0].publisher.connections_of("bob") == ()
        bob.vanish()

    play(server, scenario, outbox=Outbox(bytes=1 << 17, seconds=1))


def test_a_shutdown_says_goodbye(server: str) -> None:
    app, _ = create_app()

    async def whole(one: Server) -> None:
        async with People(one.url) as people:
            ann = await people.enter("ann")
            await ann.request(type="join", room="a")
            one.should_exit = True
            with pytest.raises(ConnectionClosed):
                while True:
                    await ann.socket.recv()
            assert ann.socket.close_code == (3001 if server == "ours" else 1012)

    with running(app, server) as one:
        asyncio.run(whole(one))
