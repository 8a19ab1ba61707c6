"""Numbered messages with keys, from people whose links and nodes fail at random: each is applied once."""

import asyncio
from collections import Counter

import pytest

from protocol.testing import Simulation, simulate
from protocol.testing.simulation import Scenario
from tests.simulation.chat import Resuming, Said, create_app

NODES = 3


async def say_until_acknowledged(person: Resuming, simulation: Simulation, texts: list[str]) -> None:
    """Say each of ``texts``, again with the same key after every failure, until it is acknowledged."""
    random = simulation.random
    for text in texts:
        while text not in person.acknowledged:
            if person.closed and not await person.come(random.randrange(NODES)):
                await simulation.sleep(0.1)
                continue
            await person.say(text, key=f"{text:->16}")
            await simulation.sleep(random.random() * 0.05)
            person.read()
            if random.random() < 0.3 and not person.closed:
                person.go()


async def everything_fails(simulation: Simulation) -> None:
    """Nodes are killed, isolated, suspended and late, links are cut; then all is well again."""
    random = simulation.random
    for _ in range(6):
        node = random.randrange(NODES)
        fault = random.choice(("crash", "isolate", "suspend", "delay"))
        if fault == "crash":
            simulation.crash(node)
            await simulation.sleep(random.random() * 0.2)
            await simulation.restart(node)
        elif fault == "delay":
            simulation.delay(node, random.choice((0.0, 0.05, 0.5)))
            await simulation.sleep(random.random() * 0.1)
        else:
            undo = simulation.rejoin if fault == "isolate" else simulation.resume
            getattr(simulation, fault)(node)
            await simulation.sleep(random.random() * 0.3)
            undo(node)


def a_story(people: int, messages: int) -> Scenario:
    """Everybody talks while everything fails, and in the end everybody has seen everything once."""

    async def story(simulation: Simulation) -> None:
        said = Said()
        crowd = [Resuming(simulation, f"user{number}", said) for number in range(people)]
        texts = {person: [f"{person.user}-{number}" for number in range(messages)] for person in crowd}
        # All are there before the first message, so that each of them has to see every one.
        for number, person in enumerate(crowd):
            assert await person.come(number % NODES)
        await simulation.settle()
        await asyncio.gather(
            everything_fails(simulation),
            *(say_until_acknowledged(person, simulation, texts[person]) for person in crowd),
        )
        await simulation.settle()
        # Whoever has been thrown out by a fault comes back once more.
        for _ in range(2):
            for person in crowd:
                person.read()
                if person.closed:
                    assert await person.come(0)
            await simulation.settle()
        for person in crowd:
            person.read()
            assert not person.closed
            assert person.position is not None
            assert person.position.offset == len(said)
        everything = [text for person in crowd for text in texts[person]]
        assert Counter(text for _, text in said.values()) == Counter(everything)
        for person in crowd:
            for text in texts[person]:
                assert said[person.acknowledged[text]] == (person.user, text)
            mine = [text for _, (user, text) in sorted(said.items()) if user == person.user]
            assert mine == texts[person]

    return story


@pytest.mark.parametrize("seeds", [40, pytest.param(3000, marks=pytest.mark.long)])
def test_each_message_is_there_once_and_in_order_whatever_fails(seeds: int) -> None:
    simulate(a_story(people=4, messages=4), create_app, nodes=NODES, seeds=range(seeds))


@pytest.mark.long
def test_sixty_people_resume_whatever_fails() -> None:
    # 300 messages: nobody is ever further behind than a room of the chat recovers.
    simulate(a_story(people=60, messages=5), create_app, nodes=NODES, seeds=range(25))
