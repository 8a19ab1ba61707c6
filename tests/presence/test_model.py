"""Programs of joins, leaves, tabs, crashes, late renewals and passing time, against a model."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from protocol.presence import LEASE_SECONDS, ONLINE, Member, Members, Presence
from tests.presence.stores import STORES, Stores

USERS = ("alice", "bob", "carol")
ROOMS = ("r", "s")


@dataclass
class Held:
    """A connection as the model knows it: it counts until ``expires``."""

    user: str
    expires: float
    rooms: set[str] = field(default_factory=set)


@dataclass
class Node:
    """What a node believes of its own connections, and rightly: they are open."""

    store: Presence
    open: dict[str, Held] = field(default_factory=dict)


class PresenceMachine(RuleBasedStateMachine):
    """The model is the list of connections with their rooms and leases; everything else follows from it.

    ``announced`` is what the users have been told: who is in which room.
    """

    stores: Callable[[], Stores]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.run = self.loop.run_until_complete
        self.cluster = self.stores()
        self.now = 0.0
        self.ids = map(str, itertools.count())
        self.nodes = [Node(self.cluster.store()) for _ in range(3)]
        self.counted: dict[str, Held] = {}
        self.came: dict[str, list[str]] = {room: [] for room in ROOMS}
        self.status: dict[str, str] = {}
        self.announced: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        self.loop.close()

    # The model.

    def members(self, room: str) -> list[str]:
        there = {held.user for held in self.counted.values() if room in held.rooms}
        return [user for user in self.came[room] if user in there]

    def settle(self) -> None:
        """Draw the conclusions from what has changed."""
        self.counted = {id: held for id, held in self.counted.items() if held.expires > self.now}
        users = {held.user for held in self.counted.values()}
        self.status = {user: status for user, status in self.status.items() if user in users}
        for room in ROOMS:
            self.came[room] = self.members(room)

    def count(self, id: str, held: Held) -> None:
        held.expires = self.now + LEASE_SECONDS
        self.counted[id] = held

    def said_joined(self, claimed: bool, user: str, room: str) -> None:
        if claimed:
            assert (user, room) not in self.announced
            self.announced.add((user, room))

    def said_left(self, user: str, room: str) -> None:
        assert (user, room) in self.announced
        self.announced.remove((user, room))

    # What happens.

    def a_connection(self, data: st.DataObject) -> tuple[Node, str, Held] | None:
        everything = [(node, id, held) for node in self.nodes for id, held in node.open.items()]
        return data.draw(st.sampled_from(everything)) if everything else None

    @rule(place=st.integers(0, 2), user=st.sampled_from(USERS))
    def connect(self, place: int, user: str) -> None:
        node, id = self.nodes[place], next(self.ids)
        node.open[id] = Held(user, 0)
        self.run(node.store.connect(user, id))
        self.count(id, node.open[id])

    @rule(data=st.data(), room=st.sampled_from(ROOMS))
    def join(self, data: st.DataObject, room: str) -> None:
        if (chosen := self.a_connection(data)) is not None:
            self.join_as(*chosen, room)

    def join_as(self, node: Node, id: str, held: Held, room: str) -> None:
        joined = self.run(node.store.join(room, held.user, id))
        assert (joined is None) == (id not in self.counted)
        if joined is None:
            self.take_up(node, id)
            self.join_as(node, id, node.open[id], room)
            return
        held.rooms.add(room)
        self.said_joined(joined, held.user, room)
        self.count(id, held)
        if held.user not in self.came[room]:
            self.came[room].append(held.user)

    def take_up(self, node: Node, id: str) -> None:
        """Count a connection again that was renewed too late, and bring it back to its rooms."""
        lost = node.open[id]
        held = node.open[id] = Held(lost.user, 0)
        self.run(node.store.connect(held.user, id))
        self.count(id, held)
        for room in sorted(lost.rooms):
            self.join_as(node, id, held, room)

    @rule(data=st.data(), room=st.sampled_from(ROOMS))
    def leave(self, data: st.DataObject, room: str) -> None:
        if (chosen := self.a_connection(data)) is not None:
            node, id, held = chosen
            if self.run(node.store.leave(room, held.user, id)):
                self.said_left(held.user, room)
            held.rooms.discard(room)
            self.settle()

    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        if (chosen := self.a_connection(data)) is not None:
            node, id, held = chosen
            for room in self.run(node.store.disconnect(held.user, id)):
                self.said_left(held.user, room)
            del node.open[id]
            self.counted.pop(id, None)
            self.settle()

    @rule(user=st.sampled_from(USERS), status=st.sampled_from(["away", ONLINE]))
    def set_status(self, user: str, status: str) -> None:
        there = [held for held in self.counted.values() if held.user == user]
        changed = bool(there) and self.status.get(user, ONLINE) != status
        rooms = self.run(self.nodes[0].store.set_status(user, status))
        assert (rooms is not None) == changed
        if rooms is not None:
            assert sorted(rooms) == sorted(set().union(*(held.rooms for held in there)))
            self.status[user] = status

    @rule(place=st.integers(0, 2))
    def crash(self, place: int) -> None:
        """The node is gone and its successor starts; its connections are left behind."""
        self.nodes[place] = Node(self.cluster.store())

    @rule(seconds=st.sampled_from([1, 10, 29, 31]))
    def advance(self, seconds: int) -> None:
        self.cluster.advance(seconds)
        self.now += seconds
        self.settle()

    @rule(place=st.integers(0, 2))
    def renew(self, place: int) -> None:
        node = self.nodes[place]
        renewal = self.run(node.store.renew(list(node.open)))
        assert sorted(renewal.lost) == sorted(id for id in node.open if id not in self.counted)
        for departure in renewal.departures:
            self.said_left(departure.user, departure.room)
        for id in node.open.keys() & self.counted.keys():
            self.count(id, node.open[id])
        for id in renewal.lost:
            self.take_up(node, id)

    @rule()
    def two_leases(self) -> None:
        """After them, with every node alive, the truth is what the nodes hold, and everybody was told it."""
        for _ in range(6):
            self.advance(LEASE_SECONDS // 3)
            for place in range(3):
                self.renew(place)
        assert self.counted == {id: held for node in self.nodes for id, held in node.open.items()}
        assert self.announced == {(held.user, room) for held in self.counted.values() for room in held.rooms}

    @invariant()
    def the_store_equals_the_model(self) -> None:
        async def members() -> list[Members]:
            return [await node.store.members(room) for room in ROOMS for node in self.nodes]

        expected = [
            tuple(Member(user, self.status.get(user, ONLINE)) for user in self.members(room))
            for room in ROOMS
            for _ in self.nodes
        ]
        assert self.run(members()) == [Members(len(users), users) for users in expected]


@pytest.mark.parametrize("programs", [100, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", sorted(STORES))
def test_presence_equals_a_model(name: str, programs: int) -> None:
    class Machine(PresenceMachine):
        stores = staticmethod(STORES[name])

    run_state_machine_as_test(Machine, settings=settings(max_examples=programs, stateful_step_count=40))
