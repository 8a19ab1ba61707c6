"""The simulation itself: its order, its faults, and that a seed says everything."""

from fastapi import FastAPI

from protocol import Connection, History, Message, MessageProtocol, Room
from protocol.testing.simulation import Simulation


class Join(Message, type="join"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


def create_app() -> FastAPI:
    chat = MessageProtocol("Chat", path="/ws")

    @chat.room("{name}", history=History())
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Say, emits=Say)
    async def say(message: Say, room: Room) -> None:
        await room.publish(message)

    app = FastAPI()
    app.include_router(chat.router)
    return app


async def test_what_is_said_on_one_node_is_heard_on_all() -> None:
    async with Simulation(create_app, nodes=3, seed=7) as simulation:
        alice = await simulation.connect("alice", node=0)
        bob = await simulation.connect("bob", node=2)
        await alice.request(Join(room="r"))
        await bob.request(Join(room="r"))
        await bob.send(Say(room="r", text="hi"))
        assert (await alice.expect("say"))["text"] == "hi"
        assert (await bob.expect("say"))["offset"] == 1
    print("\n".join(simulation.trace))
