"""Order per connection: what one connection says in a room is heard in that order, and answered in that order."""

import asyncio

import pytest
from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Room
from protocol.testing import Simulation, simulate
from protocol.testing.process import SimulatedClient
from tests.served import served

NODES = 3
NUMBERS = range(12)


class Join(Message, type="join"):
    room: str


class Count(Message, type="count"):
    room: str
    number: int


class Counted(Message, type="count"):
    room: str
    user: str
    number: int


counting = MessageProtocol("Counting")


@counting.room("{name}")
async def anyone(connection: Connection, name: str) -> None: ...


@counting.on(Join)
async def join(message: Join, connection: Connection) -> None:
    await connection.join(message.room)


@counting.on(Count, emits=Counted)
async def count(message: Count, room: Room, connection: Connection) -> None:
    await room.publish(Counted(room=message.room, user=connection.user.id, number=message.number))


def create_app() -> FastAPI:
    return served(counting)


async def all_count(simulation: Simulation) -> None:
    """Each counts in a room without history, at a pace of its own; everybody hears everybody count."""
    random = simulation.random
    for node in range(NODES):
        simulation.delay(node, random.choice((0.0, 0.005, 1.0)))
    people = [await simulation.connect(f"user{number}", node=number % NODES) for number in range(5)]
    for person in people:
        await person.request(Join(room="r"))

    async def say(person: SimulatedClient) -> None:
        for number in NUMBERS:
            await person.send(Count(room="r", number=number), id=number)
            if random.random() < 0.5:
                await simulation.sleep(random.random() * 0.02)
            if random.random() < 0.1:
                person.pause()
                await simulation.sleep(random.random())
                person.resume()

    await asyncio.gather(*map(say, people))
    await simulation.settle()
    for listener in people:
        frames = listener.frames
        assert [frame["ref"] for frame in frames if frame["type"] == "ack"] == list(NUMBERS)
        for speaker in range(len(people)):
            heard = [frame["number"] for frame in frames if frame.get("user") == f"user{speaker}"]
            assert heard == list(NUMBERS)


@pytest.mark.parametrize("seeds", [30, pytest.param(3000, marks=pytest.mark.long)])
def test_what_a_connection_says_is_answered_and_heard_in_its_order(seeds: int) -> None:
    simulate(all_count, create_app, nodes=NODES, seeds=range(seeds))
