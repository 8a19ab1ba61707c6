"""Where a node comes from, which one is meant, and that it ends whole."""

import asyncio
import gc
import warnings
import weakref
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI

from protocol import Connection, LocalProtocolError, Message, MessageProtocol, Room
from protocol.brokers import MemoryBroker, MemoryBus
from protocol.node import Node
from protocol.presence import MemoryPresence
from protocol.testing import Client, run, settle
from tests.served import served


class Join(Message, type="join"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


def declared() -> MessageProtocol:
    chat = MessageProtocol("Chat", sends=Say)

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say)
    async def say(message: Say, room: Room) -> None:
        # By the protocol, as functions do that know no connection.
        await chat.rooms[room.name].publish(message)

    return chat


class lifespan:
    """Run an application's lifespan around a block, as a server does."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said: asyncio.Queue[str] = asyncio.Queue()

    async def __aenter__(self) -> None:
        async def send(event: Any) -> None:
            self._said.put_nowait(event["type"])

        self._task = asyncio.create_task(self._app({"type": "lifespan", "state": {}}, self._events.get, send))
        self._events.put_nowait({"type": "lifespan.startup"})
        assert await self._said.get() == "lifespan.startup.complete"

    async def __aexit__(self, *error: object) -> None:
        self._events.put_nowait({"type": "lifespan.shutdown"})
        assert await self._said.get() == "lifespan.shutdown.complete"
        await self._task


async def test_a_node_is_made_with_the_first_connection() -> None:
    chat = declared()
    app = served(chat)
    with pytest.raises(LocalProtocolError) as error:
        _ = chat.rooms
    assert str(error.value) == (
        "No node of the protocol 'Chat' runs yet: it starts with the first connection, or with the application's "
        "lifespan. Is its router included in the application?"
    )
    with pytest.raises(LocalProtocolError, match="The application does not serve the protocol 'Chat' now"):
        chat.at(app)
    async with Client(app), Client(app):
        assert chat.at(app) is chat.nodes.current()


async def test_the_lifespan_makes_a_node_and_closes_it_with_its_connections() -> None:
    chat = declared()
    app = served(chat)
    async with lifespan(app):
        node = chat.at(app)
        client = await Client(app).connect()
        await client.request(Join(room="a"))
    assert node.closed
    assert await client.expect_close() == (3001, "shutdown")
    assert len(node.hub.fanout) == 0
    await client.close()
    with pytest.raises(LocalProtocolError):
        _ = chat.rooms
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_closing_node_waits_for_slow_goodbyes_before_it_lets_go_of_the_broker() -> None:
    chat = declared()
    said: list[str] = []

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        await asyncio.sleep(1)
        await node.rooms["a"].publish(Say(room="a", text="bye"))
        said.append("bye")

    app = served(chat)
    async with Client(app):
        node = chat.at(app)
        await asyncio.gather(node.close(), node.close())
        assert said == ["bye"]


async def test_a_new_node_serves_after_the_lifespan_has_ended() -> None:
    chat = declared()
    app = served(chat)
    async with lifespan(app):
        first = chat.at(app)
    async with Client(app) as client:
        assert (await client.request(Join(room="a")))["type"] == "ack"
        assert chat.at(app) is not first


async def test_two_applications_are_two_worlds_and_outside_of_them_one_has_to_be_named() -> None:
    chat = declared()
    red, blue = served(chat), served(chat)
    async with Client(red) as one, Client(blue) as two:
        for client in (one, two):
            await client.request(Join(room="a"))
        await one.request(Say(room="a", text="red"))
        await one.expect(Say, text="red")
        await two.expect_nothing()
        with pytest.raises(LocalProtocolError) as error:
            _ = chat.users
        assert str(error.value) == (
            "2 applications serve the protocol 'Chat' in this process: outside of a connection, say which one by "
            "at(app).rooms or at(app).users of the protocol."
        )
        await chat.at(blue).rooms["a"].publish(Say(room="a", text="blue"))
        await two.expect(Say, text="blue")
        await one.expect_nothing()


async def test_three_nodes_in_one_process_share_what_they_are_given() -> None:
    chat = declared()
    app = served(chat)
    bus, presence = MemoryBus(), MemoryPresence()
    nodes = [
        Node(chat.freeze(), broker=MemoryBroker(bus), presence=presence, name=f"n{index}")
        for index in range(3)
    ]
    clients = [await Client(app, node=node).connect() for node in nodes]
    for client in clients:
        await client.request(Join(room="a"))
    await clients[0].request(Say(room="a", text="hi"))
    for client in clients:
        await client.expect(Say, text="hi")
    for client in clients:
        await client.close()
    for node in nodes:
        await node.close()
    assert len(bus) == len(presence) == 0


async def test_a_router_may_be_included_twice() -> None:
    chat = declared()
    app = FastAPI()
    app.include_router(chat.router, prefix="/a")
    app.include_router(chat.router, prefix="/b")
    async with lifespan(app):
        async with Client(app, "/a/ws") as one, Client(app, "/b/ws") as two:
            for client in (one, two):
                await client.request(Join(room="a"))
            await one.request(Say(room="a", text="hi"))
            await two.expect(Say, text="hi")
        node = chat.at(app)
    assert node.closed


async def test_a_router_may_be_in_a_mounted_application() -> None:
    chat = declared()
    inner, outer = served(chat), FastAPI()
    outer.mount("/inner", inner)
    async with lifespan(outer), Client(outer, "/inner/ws") as client:
        assert (await client.request(Join(room="a")))["type"] == "ack"
        assert chat.at(inner) is chat.nodes.current()


def test_a_node_that_no_lifespan_closes_ends_with_its_loop() -> None:
    chat = declared()
    app = served(chat)
    nodes: list[Node] = []

    async def forgetful() -> None:
        await Client(app).connect()
        nodes.append(chat.at(app))

    run(forgetful())
    assert nodes[0].closed
    assert len(nodes[0].hub.fanout) == 0
    run(forgetful())
    assert nodes[1] is not nodes[0]


def test_an_application_is_not_kept_by_the_protocol_it_has_served() -> None:
    chat = declared()
    app: FastAPI | None = served(chat)
    kept = weakref.ref(app)

    async def serve(app: FastAPI) -> None:
        async with Client(app):
            pass

    async def serve_another() -> None:
        async with Client(served(chat)):
            pass

    assert app is not None
    run(serve(app))
    app = None
    run(serve_another())
    gc.collect()
    assert kept() is None


async def test_rooms_and_users_from_an_endpoint_and_a_background_task() -> None:
    chat = declared()
    app = served(chat)

    async def later() -> None:
        await chat.users["ann"].send(Say(room="", text="later"))

    @app.post("/say/{room}")
    async def say(room: str, tasks: BackgroundTasks) -> int:
        tasks.add_task(later)
        return (await chat.rooms[room].publish(Say(room=room, text="http"))).receivers

    async with Client(app, user="ann") as client:
        await client.request(Join(room="a"))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            assert (await http.post("/say/a")).json() == 1
        await client.expect(Say, text="http")
        await client.expect(Say, text="later")


@pytest.mark.parametrize("with_lifespan", [True, False])
def test_starlettes_test_client_works_with_and_without_a_lifespan(with_lifespan: bool) -> None:
    chat = declared()
    app = served(chat)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which HTTP library Starlette wants
        from fastapi.testclient import TestClient

        client = TestClient(app)
    if with_lifespan:
        client.__enter__()
    for _ in range(2):
        with client.websocket_connect("/ws") as socket:
            socket.send_json({"type": "join", "room": "a", "id": 1})
            assert socket.receive_json() == {"type": "ack", "ref": 1}
            socket.send_json({"type": "say", "room": "a", "text": "hi"})
            assert socket.receive_json() == {"type": "say", "room": "a", "text": "hi"}
    if with_lifespan:
        client.__exit__(None, None, None)
    with pytest.raises(LocalProtocolError, match="No node"):
        _ = chat.rooms


async def test_a_lost_lease_is_taken_up_again_and_departures_are_announced_once() -> None:
    chat = declared()
    app = served(chat)
    presence = MemoryPresence(monotonic=asyncio.get_running_loop().time)
    node = Node(chat.freeze(), presence=presence)
    async with Client(app, node=node, user="ann") as client:
        await client.request(Join(room="a"))
        await presence.disconnect("ann", next(iter(node.hub.fanout.connections)))
        assert (await presence.members("a")).count == 0
        await asyncio.sleep(11)
        assert (await presence.members("a")).count == 1
        await settle()
    await node.close()
    assert len(presence) == 0
