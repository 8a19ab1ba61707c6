"""Direct messages: whoever has a connection gets them, while other connections of the same user come and go."""

import pytest

from protocol.testing import Simulation, simulate
from schemas.direct import Whisper
from tests.simulation.chat import create_app


async def tabs_come_and_go(simulation: Simulation) -> None:
    """A user changes from one tab to the next, on the same node; the new one may open before the old one is gone."""
    random = simulation.random
    alice = await simulation.connect("alice", node=0)
    tab = await simulation.connect("bob", node=1)
    for number in range(4):
        old = tab
        leave = random.choice((old.cut, old.drop))
        if early := random.random() < 0.5:
            leave()
        await simulation.sleep(random.random() * 0.01)
        tab = await simulation.connect("bob", node=1)
        assert (await tab.request({"type": "ping"}))["type"] == "pong"
        if not early:
            leave()
        if random.random() < 0.5:
            await simulation.settle()
        answer = await alice.request(Whisper(to="bob", text=str(number)))
        assert answer["type"] == "ack", answer
        assert (await tab.expect("private"))["text"] == str(number)


@pytest.mark.parametrize("seeds", [40, pytest.param(5000, marks=pytest.mark.long)])
def test_a_user_who_is_there_gets_direct_messages_whatever_tabs_close(seeds: int) -> None:
    simulate(tabs_come_and_go, create_app, nodes=2, seeds=range(seeds))
