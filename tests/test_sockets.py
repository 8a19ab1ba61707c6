"""The same over real sockets, through uvicorn's own WebSocket class and through ours."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from protocol import Connection, Message, MessageProtocol, Outbox, Room, User
from protocol.servers.http import HTTPProtocol
from protocol.servers.uvicorn import WebSocketProtocol
from tests.faults.application import Count, Number, current_user
from tests.faults.clients import Clients
from tests.process import PATIENCE
from tests.served import served
from tests.threads import Server, serving

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

    return served(chat), chat


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def play(
    server: str, scenario: Callable[[Clients, MessageProtocol], Awaitable[None]], **options: Any
) -> None:
    app, chat = create_app(**options)

    async def whole(port: int) -> None:
        async with Clients(port) as people:
            await scenario(people, chat)

    with serving(app, **SERVERS[server]) as one:
        asyncio.run(whole(one.port))
    assert chat.nodes._alive() == []


def test_three_users_in_two_rooms_and_two_tabs_of_one(server: str) -> None:
    async def scenario(people: Clients, chat: MessageProtocol) -> None:
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
            assert person.seen == []

    play(server, scenario)


@pytest.mark.parametrize(
    "path, status",
    [("/ws", 401), ("/ws?name=mallory", 403), ("/ws/no%20room?name=ann", 404), ("/nowhere?name=ann", 403)],
)
def test_refusals_come_before_accept(server: str, path: str, status: int) -> None:
    async def scenario(people: Clients, chat: MessageProtocol) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{people.port}{path}")
        assert refused.value.response.status_code == status

    play(server, scenario)


def test_abrupt_disconnects_at_every_moment_leave_nothing(server: str) -> None:
    async def scenario(people: Clients, chat: MessageProtocol) -> None:
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
                person.reset()
        # A refused handshake and a half one, too.
        with socket.create_connection(("127.0.0.1", people.port)) as raw:
            raw.send(b"GET /ws?name=x HTTP/1.1\r\n")
        (node,) = chat.nodes._alive()
        async with asyncio.timeout(PATIENCE):
            while len(node.hub.fanout) != 3 or len(node.presence) != 3:  # type: ignore[arg-type] # noqa: ASYNC110
                await asyncio.sleep(0.01)
        watch.seen.clear()
        assert (await watch.request(type="ping"))["type"] == "pong"

    play(server, scenario)


def test_a_suspended_handler_is_cancelled_by_its_client(server: str) -> None:
    async def scenario(people: Clients, chat: MessageProtocol) -> None:
        ann = await people.enter("ann")
        await ann.socket.send('{"type":"wait","seconds":60,"id":"w"}')
        await ann.socket.send('{"type":"cancel","ref":"w"}')
        assert (await ann.expect(ref="w"))["code"] == "cancelled"

    play(server, scenario)


def test_a_stream_keeps_the_pace_of_its_reader(server: str) -> None:
    async def scenario(people: Clients, chat: MessageProtocol) -> None:
        ann = await people.enter("ann", max_queue=16)
        await ann.socket.send('{"type":"count","to":20000,"id":1}')
        for value in range(20_000):
            assert json.loads(await ann.socket.recv())["value"] == value
        await ann.expect(type="ack", ref=1)

    play(server, scenario, outbox=Outbox(bytes=1 << 16))


def test_a_peer_that_does_not_read_slows_nobody_and_is_forgotten(server: str) -> None:
    async def scenario(people: Clients, chat: MessageProtocol) -> None:
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
        bob.reset()

    play(server, scenario, outbox=Outbox(bytes=1 << 17, seconds=1))


def test_a_shutdown_says_goodbye(server: str) -> None:
    app, _ = create_app()

    async def whole(one: Server) -> None:
        async with Clients(one.port) as people:
            ann = await people.enter("ann")
            await ann.request(type="join", room="a")
            one.should_exit = True
            with pytest.raises(ConnectionClosed):
                while True:
                    await ann.socket.recv()
            assert ann.socket.close_code == (3001 if server == "ours" else 1012)

    with serving(app, **SERVERS[server]) as one:
        asyncio.run(whole(one))
