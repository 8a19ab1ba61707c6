"""Presence over nodes that die, lose the store and fall asleep: after two leases it is what the clients know."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.presence import LEASE_SECONDS
from protocol.testing import Simulation, run, simulate
from protocol.testing.process import KEEPALIVE, SimulatedClient
from schemas.rooms import Join, Joined, Leave
from tests.simulation.chat import create_app

NODES = 2
ROOMS = ("r", "s")
USERS = ("alice", "bob")

nodes = st.integers(0, NODES - 1)
numbers = st.integers(0, 9)
enter = st.tuples(st.just("enter"), nodes, st.sampled_from(USERS), st.sampled_from(ROOMS))
steps = st.one_of(
    enter,
    enter,
    st.tuples(st.sampled_from(["join", "leave"]), numbers, st.sampled_from(ROOMS)),
    st.tuples(st.sampled_from(["close", "cut", "vanish"]), numbers),
    st.tuples(st.sampled_from(["crash", "restart"]), nodes),
    st.tuples(st.sampled_from(["suspend", "resume", "isolate", "rejoin"]), nodes),
    st.tuples(st.just("outage"), nodes, st.sampled_from([0.1, 2, 31])),
    st.tuples(st.just("sleep"), st.sampled_from([0.01, 1, 9, 31])),
)


class World:
    """The clients, and what has become of each."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.clients: list[tuple[str, SimulatedClient]] = []
        self.down: set[int] = set()

    async def step(self, action: str, *arguments: Any) -> None:
        """Do one thing; what cannot be done now is left out."""
        if action == "enter":
            await self.enter(*arguments)
        elif action == "outage":
            await self.outage(*arguments)
        elif action == "sleep":
            await self.simulation.sleep(*arguments)
        elif action in {"crash", "restart", "suspend", "resume", "isolate", "rejoin"}:
            await self.fault(action, *arguments)
        else:
            living = [client for _, client in self.clients if client.closed is None]
            if living:
                await self.act(living[arguments[0] % len(living)], action, *arguments[1:])

    async def enter(self, node: int, user: str, room: str) -> None:
        with suppress(ConnectionError):
            client = await self.simulation.connect(user, node=node)
            self.clients.append((user, client))
            await self.act(client, "join", room)

    async def outage(self, node: int, seconds: float) -> None:
        await self.fault("isolate", node)
        await self.simulation.sleep(seconds)
        await self.fault("rejoin", node)

    async def act(self, client: SimulatedClient, action: str, room: str = "") -> None:
        if action == "join":
            await client.send(Join(room=room), id=f"join {room}")
        elif action == "leave":
            await client.send(Leave(room=room), id=f"leave {room}")
        elif action == "close":
            client.drop()
        elif action == "cut":
            client.cut()
        else:
            client.vanish()

    async def fault(self, action: str, node: int) -> None:
        if action == "restart":
            if node in self.down:
                self.down.remove(node)
                await self.simulation.restart(node)
        elif node not in self.down:
            if action == "crash":
                self.down.add(node)
            getattr(self.simulation, action)(node)

    async def recover(self) -> None:
        """End every fault, and let two leases pass."""
        for node in range(NODES):
            await self.fault("rejoin", node)
            await self.fault("resume", node)
            await self.fault("restart", node)
        await self.simulation.sleep(KEEPALIVE + 2 * LEASE_SECONDS)

    def members(self, room: str) -> set[str]:
        """Who knows that it is in ``room``."""
        return {user for user, client in self.clients if client.closed is None and is_member(client, room)}


def is_member(client: SimulatedClient, room: str) -> bool:
    """What the answers say that have come to a client."""
    inside = False
    for frame in client.frames:
        if frame.get("ref") == f"join {room}":
            inside = inside or frame["type"] == "joined"
        elif frame.get("ref") == f"leave {room}":
            inside = inside and frame["type"] != "ack"
    return inside


async def members_are_those_who_know_it(program: list[tuple[Any, ...]], seed: int) -> None:
    async with Simulation(create_app, nodes=NODES, seed=seed) as simulation:
        world = World(simulation)
        for step in program:
            await world.step(*step)
            # The next thing may happen in the middle of this one.
            await simulation.sleep(simulation.random.choice((0, 0, 0.002, 0.005)))
        await world.recover()
        for node in range(NODES):
            for room in ROOMS:
                there = world.members(room)
                witness = await simulation.connect("witness", node=node)
                joined = await witness.request(Join(room=room), Joined)
                assert {member.user for member in joined.members} == there | {"witness"}, "\n".join(
                    simulation.trace
                )
                assert joined.count == len(there) + 1
                await witness.close()
                await simulation.settle()


@pytest.mark.parametrize("programs", [80, pytest.param(1000, marks=pytest.mark.long)])
def test_presence_equals_what_clients_know_after_two_leases(programs: int) -> None:
    @settings(max_examples=programs)
    @given(st.lists(steps, min_size=8, max_size=40), st.integers(0, 2**16))
    def holds(program: list[tuple[Any, ...]], seed: int) -> None:
        run(members_are_those_who_know_it(program, seed))

    holds()


async def test_who_joins_a_room_after_a_lapse_is_still_in_the_others() -> None:
    async with Simulation(create_app, nodes=2) as simulation:
        alice = await simulation.connect("alice", node=0)
        bob = await simulation.connect("bob", node=1)
        for client in (alice, bob):
            await client.request(Join(room="r"))
        simulation.isolate(0)
        await simulation.sleep(LEASE_SECONDS + 9)
        simulation.rejoin(0)
        # Before the node renews what it has: the store knows this connection by its join alone.
        joined = await alice.request(Join(room="s"), Joined)
        assert [member.user for member in joined.members] == ["alice"]
        await simulation.sleep(LEASE_SECONDS)
        joined = await bob.request(Join(room="r"), Joined)
        assert [member.user for member in joined.members] == ["bob", "alice"]


async def an_outage_meets_a_change(simulation: Simulation) -> None:
    """The node of one who joins or leaves loses the store in the middle of that, and finds it again."""
    alice = await simulation.connect("alice", node=0)
    bob = await simulation.connect("bob", node=1)
    await bob.request(Join(room="r"))
    if simulation.random.random() < 0.5:
        await alice.request(Join(room="r"))
        await alice.send(Leave(room="r"), id="leave r")
    else:
        await alice.send(Join(room="r"), id="join r")
    await simulation.sleep(simulation.random.random() * 0.02)
    simulation.isolate(0)
    await simulation.sleep(5)
    simulation.rejoin(0)
    await simulation.sleep(LEASE_SECONDS)
    joined = await bob.request(Join(room="r"), Joined)
    inside = is_member(alice, "r") and alice.closed is None
    assert ("alice" in {member.user for member in joined.members}) == inside
    announced = [frame["type"] for frame in bob.frames if frame.get("user") == "alice"]
    assert len(announced) == len(set(announced))


@pytest.mark.parametrize("seeds", [40, pytest.param(5000, marks=pytest.mark.long)])
def test_an_outage_in_the_middle_of_a_join_or_leave_leaves_nobody_behind(seeds: int) -> None:
    simulate(an_outage_meets_a_change, create_app, nodes=2, seeds=range(seeds))
