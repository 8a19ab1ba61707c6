"""A room with history: publishing races with coming, going and coming back, in many orders of events."""

import asyncio

import pytest

from protocol.testing import Simulation, simulate
from schemas.names import Since
from tests.simulation.chat import Resuming, Said, create_app

LONG = pytest.mark.long


async def publishing_races_recovery(simulation: Simulation) -> None:
    """Two write on two nodes while two others come back again and again, wherever they please."""
    said, random = Said(), simulation.random

    async def write(user: str, node: int) -> Resuming:
        writer = Resuming(simulation, user, said)
        assert await writer.come(node)
        for number in range(6):
            await writer.say(f"{user}-{number}")
            await simulation.sleep(random.random() * 0.01)
        await simulation.settle()
        writer.read()
        return writer

    async def return_often(user: str) -> Resuming:
        reader = Resuming(simulation, user, said)
        for _ in range(3):
            assert await reader.come(random.randrange(2))
            await simulation.sleep(random.random() * 0.02)
            reader.read()
            reader.go()
            await simulation.sleep(random.random() * 0.01)
        assert await reader.come(random.randrange(2))
        await simulation.settle()
        reader.read()
        return reader

    people = await asyncio.gather(
        write("alice", 0), write("bob", 1), return_often("carol"), return_often("dave")
    )
    await simulation.settle()
    for person in people:
        person.read()
        assert person.position is not None
        assert person.position.offset == 12
    for writer in people[:2]:
        assert [said[writer.acknowledged[f"{writer.user}-{number}"]] for number in range(6)] == [
            (writer.user, f"{writer.user}-{number}") for number in range(6)
        ]


@pytest.mark.parametrize("seeds", [100, pytest.param(10_000, marks=LONG)])
def test_each_offset_arrives_once_and_in_order_however_publishing_races_recovery(seeds: int) -> None:
    simulate(publishing_races_recovery, create_app, nodes=2, seeds=range(seeds))


async def test_who_comes_back_to_a_node_that_has_started_again_goes_on_in_the_same_epoch() -> None:
    async with Simulation(create_app, nodes=2) as simulation:
        said = Said()
        alice, bob = Resuming(simulation, "alice", said), Resuming(simulation, "bob", said)
        assert await alice.come(0)
        assert await bob.come(1)
        await alice.say("heard")
        await simulation.settle()
        bob.read()
        before = bob.position
        assert before is not None
        simulation.crash(1)
        await alice.say("missed")
        await simulation.settle()
        await simulation.restart(1)
        assert await bob.come(1)
        await simulation.settle()
        bob.read()
        assert bob.position == Since(offset=before.offset + 1, epoch=before.epoch)
