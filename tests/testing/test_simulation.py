"""The simulation itself: that a seed says everything, and what each fault is."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from protocol import Connection, History, Message, MessageProtocol, Room
from protocol.presence import LEASE_SECONDS
from protocol.testing import Simulation, run, simulate
from protocol.testing.process import KEEPALIVE, SimulatedClient
from protocol.testing.steps import Fault


class Join(Message, type="join"):
    room: str


class Joined(Message, type="joined"):
    members: list[str]


class Say(Message, type="say"):
    room: str
    text: str


class Think(Message, type="think"):
    pass


class Thought(Message, type="thought"):
    of: str


class Look(Message, type="look"):
    after: float = 0


class Looked(Message, type="looked"):
    time: float


class App(FastAPI):
    """An application that remembers who has ended."""

    def __init__(self) -> None:
        super().__init__(lifespan=self.live)
        self.ended: list[str] = []
        chat = MessageProtocol("Chat")

        @chat.room("{name}", history=History())
        async def anyone(connection: Connection, name: str) -> None: ...

        @chat.on(Join, emits=Joined)
        async def join(message: Join, connection: Connection) -> Joined:
            membership = await connection.join(message.room)
            return Joined(members=[member.user for member in membership.members.users])

        @chat.on(Say, emits=Say)
        async def say(message: Say, room: Room) -> None:
            await room.publish(message)

        @chat.on(Think, emits=Thought)
        def think(message: Think, connection: Connection) -> Thought:
            return Thought(of=connection.user.id)

        @chat.on(Look, emits=Looked)
        async def look(message: Look) -> Looked:
            await asyncio.sleep(message.after)
            return Looked(time=asyncio.get_running_loop().time())

        @chat.on_disconnect
        async def disconnected(connection: Connection) -> None:
            self.ended.append(connection.user.id)

        self.include_router(chat.router)

    @asynccontextmanager
    async def live(self, app: FastAPI) -> AsyncIterator[None]:
        yield
        self.ended.append("the application")


async def a_room(simulation: Simulation) -> tuple[SimulatedClient, SimulatedClient]:
    """Alice on the node 0 and Bob on the node 1, in one room."""
    alice, bob = await simulation.connect("alice", node=0), await simulation.connect("bob", node=1)
    for client in (alice, bob):
        await client.request(Join(room="r"))
    return alice, bob


def texts(client: SimulatedClient) -> list[str]:
    return [frame["text"] for frame in client.frames if frame["type"] == "say"]


async def test_what_is_said_on_one_node_is_heard_on_all() -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        await bob.send(Say(room="r", text="hi"))
        assert await alice.expect(Say) == Say(room="r", text="hi")
        assert await bob.expect(Say) == Say(room="r", text="hi")
        await alice.expect_nothing()


# The seed.


def trace_of(seed: int) -> str:
    """A run with a bit of everything, as text."""

    async def story() -> str:
        async with Simulation(App, nodes=3, seed=seed) as simulation:
            alice, bob = await a_room(simulation)
            simulation.delay(1, 0.5)
            for number in range(10):
                client = simulation.random.choice((alice, bob))
                await client.send(Say(room="r", text=str(number)), id=number)
            await bob.send(Think(), id="thought")
            simulation.isolate(0)
            await simulation.sleep(2)
            simulation.rejoin(0)
            await simulation.settle()
            simulation.crash(1)
            await simulation.restart(1)
            await simulation.sleep(2 * LEASE_SECONDS)
            carol = await simulation.connect("carol", node=1)
            await carol.request(Join(room="r"))
            return "\n".join(simulation.trace)

    return run(story())


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    assert trace_of(1) == trace_of(1)
    assert trace_of(1) != trace_of(2)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_run_does_not_depend_on_the_process(hash_seed: str) -> None:
    program = "from tests.testing.test_simulation import trace_of; print(trace_of(1))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.curdir}
    command = [sys.executable, "-c", program]
    there = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert there.stdout == trace_of(1) + "\n"


def test_tasks_wake_in_every_order_and_callbacks_in_theirs() -> None:
    async def order(seed: int) -> tuple[str, ...]:
        done: list[str] = []

        async def task(name: str) -> None:
            done.append(name)

        async with Simulation(App, nodes=1, seed=seed):
            tasks = [asyncio.create_task(task(name)) for name in "abc"]
            for name in "123":
                asyncio.get_running_loop().call_soon(done.append, name)
            await asyncio.wait(tasks)
            await asyncio.sleep(0.001)
        assert [name for name in done if name in "123"] == ["1", "2", "3"]
        return tuple(name for name in done if name in "abc")

    assert len({run(order(seed)) for seed in range(100)}) == 6


# Nodes that fail.


async def test_a_crash_runs_nothing_more_and_presence_lapses_with_the_lease() -> None:
    apps: list[App] = []

    def create_app() -> App:
        apps.append(App())
        return apps[-1]

    async with Simulation(create_app, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        simulation.crash(1)
        assert await bob.expect_close() == (1006, "")
        with pytest.raises(ConnectionRefusedError, match=r"The node 1 is down\."):
            await simulation.connect("bob", node=1)
        await simulation.sleep(LEASE_SECONDS - 1)
        assert await alice.request(Join(room="r"), Joined) == Joined(members=["alice", "bob"])
        await simulation.sleep(2)
        assert await alice.request(Join(room="r"), Joined) == Joined(members=["alice"])
        await simulation.restart(1)
        carol = await simulation.connect("carol", node=1)
        assert await carol.request(Join(room="r"), Joined) == Joined(members=["alice", "carol"])
        assert apps[1].ended == []
    assert apps[0].ended == ["alice", "the application"]
    assert apps[2].ended == ["carol", "the application"]


async def test_a_suspended_node_answers_when_it_goes_on() -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        simulation.suspend(1)
        await bob.send(Say(room="r", text="late"))
        with pytest.raises(ConnectionAbortedError, match=r"carol@n1\.1: the handshake was not answered\."):
            await simulation.connect("carol", node=1)
        await alice.expect_nothing()
        simulation.resume(1)
        await alice.expect(Say)


async def test_an_isolated_node_gets_no_answers_and_later_everything_in_order() -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        simulation.isolate(1)
        for text in "123":
            await alice.request(Say(room="r", text=text))
        assert (await bob.request(Say(room="r", text="4")))["code"] == "unavailable"
        assert texts(bob) == []
        simulation.rejoin(1)
        await simulation.settle()
        assert texts(bob) == ["1", "2", "3"]


async def test_an_outage_is_told_in_the_log_without_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        simulation.isolate(0)
        alice.cut()
        await simulation.sleep(15)
        simulation.rejoin(0)
        await simulation.sleep(45)
        assert await bob.request(Join(room="r"), Joined) == Joined(members=["bob"])
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "The presence store does not answer: a connection is gone when its lease ends",
        "The presence store does not answer: no lease of this node is renewed",
    ]


async def test_a_delay_keeps_the_order_of_a_room() -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        simulation.delay(1, 60)
        for number in range(20):
            await alice.send(Say(room="r", text=str(number)))
        await simulation.sleep(0.1)
        assert (len(texts(alice)), len(texts(bob)) < 20) == (20, True)
        await simulation.settle()
        assert texts(bob) == [str(number) for number in range(20)]


async def test_reordered_rooms_overtake_each_other_and_each_keeps_its_order() -> None:
    heard = set()
    for seed in range(10):
        async with Simulation(App, nodes=2, seed=seed) as simulation:
            alice, bob = await a_room(simulation)
            for client in (alice, bob):
                await client.request(Join(room="s"))
            simulation.reorder(1, 5)
            for text in "abc":
                for room in "rs":
                    await alice.request(Say(room=room, text=text))
            simulation.reorder(1, 0)
            await alice.request(Say(room="r", text="d"))
            assert texts(bob) == []
            await simulation.settle()
            said = [(frame["room"], frame["text"]) for frame in bob.frames if frame["type"] == "say"]
            assert [text for room, text in said if room == "r"] == [*"abcd"]
            assert [text for room, text in said if room == "s"] == [*"abc"]
            heard.add(tuple(said))
    assert len(heard) > 1


async def test_no_two_processes_agree_on_the_time() -> None:
    async with Simulation(App, nodes=2) as simulation:
        simulation.crash(1)
        await simulation.restart(1)
        alice, bob = await simulation.connect("alice", node=0), await simulation.connect("bob", node=1)
        shown = [(await client.request(Look(), Looked)).time for client in (alice, bob)]
        assert abs(shown[0] - shown[1]) > 100


async def test_timers_go_by_the_clock_of_their_node() -> None:
    async with Simulation(App, nodes=2, latency=0) as simulation:
        alice, bob = await simulation.connect("alice", node=0), await simulation.connect("bob", node=1)
        simulation.skew(0, 4)
        for client in (alice, bob):
            await client.send(Look(after=8), id=1)
        await simulation.sleep(2.1)
        assert (len(alice.frames), len(bob.frames)) == (1, 0)
        simulation.skew(0, 0.5)
        await alice.send(Look(after=8), id=2)
        await simulation.sleep(8)
        assert (len(alice.frames), len(bob.frames)) == (1, 1)
        await simulation.sleep(8.1)
        assert len(alice.frames) == 2


async def test_who_is_on_a_node_with_a_slow_clock_lapses_and_comes_back() -> None:
    async with Simulation(App, nodes=2) as simulation:
        _, bob = await a_room(simulation)
        simulation.skew(0, LEASE_SECONDS / 120)
        await simulation.sleep(LEASE_SECONDS / 3 + LEASE_SECONDS + 2)
        assert await bob.request(Join(room="r"), Joined) == Joined(members=["bob"])
        await simulation.sleep(LEASE_SECONDS)
        assert await bob.request(Join(room="r"), Joined) == Joined(members=["bob", "alice"])


async def test_a_fast_clock_makes_nobody_lapse() -> None:
    async with Simulation(App, nodes=2) as simulation:
        _, bob = await a_room(simulation)
        simulation.skew(0, 10)
        await simulation.sleep(3 * LEASE_SECONDS)
        assert await bob.request(Join(room="r"), Joined) == Joined(members=["alice", "bob"])


async def test_a_step_of_a_program_is_a_fault_where_it_can_be() -> None:
    async with Simulation(App, nodes=2) as simulation:
        bob = await simulation.connect("bob", node=1)
        assert not await simulation.do(Fault("restart", 1))
        assert await simulation.do(Fault("crash", 1))
        assert bob.closed == (1006, "")
        assert not await simulation.do(Fault("crash", 1))
        assert not await simulation.do(Fault("delay", 1, 5.0))
        assert await simulation.do(Fault("restart", 1))
        assert await simulation.do(Fault("delay", 1, 5.0))
        assert simulation.process(1).link.delay == 5.0


async def test_what_has_waited_for_a_suspended_node_comes_before_what_it_says_itself() -> None:
    for seed in range(60):
        async with Simulation(App, nodes=2, seed=seed) as simulation:
            alice, bob = await a_room(simulation)
            simulation.suspend(0)
            for text in "abc":
                await bob.request(Say(room="r", text=text))
            await alice.send(Say(room="r", text="d"))
            await simulation.sleep(1)
            simulation.resume(0)
            await simulation.settle()
            assert texts(alice) == texts(bob) == [*"abcd"]


# Links that fail.


async def test_a_cut_link_loses_what_was_under_way() -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        await bob.send(Say(room="r", text="lost"))
        bob.cut()
        assert await bob.expect_close() == (1006, "")
        await alice.expect_nothing()
        assert await alice.request(Join(room="r"), Joined) == Joined(members=["alice"])


async def test_who_vanishes_is_noticed_by_the_keepalive() -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice, bob = await a_room(simulation)
        bob.vanish()
        await simulation.sleep(KEEPALIVE - 1)
        assert await alice.request(Join(room="r"), Joined) == Joined(members=["alice", "bob"])
        await simulation.sleep(2)
        assert await alice.request(Join(room="r"), Joined) == Joined(members=["alice"])


@pytest.mark.parametrize("wire", [False, True])
async def test_who_does_not_read_is_thrown_out_and_slows_nobody(wire: bool) -> None:
    async with Simulation(App, nodes=2) as simulation:
        alice = await simulation.connect("alice", node=0, wire=not wire)
        bob = await simulation.connect("bob", node=1, wire=wire)
        for client in (alice, bob):
            await client.request(Join(room="r"))
        bob.pause()
        await alice.request(Say(room="r", text="hi"))
        await alice.expect(Say)
        await bob.expect_close(1006, within=11)


# What runs in it.


async def test_what_is_meant_for_a_thread_is_called_in_its_place() -> None:
    async with Simulation(App, nodes=1) as simulation:
        alice = await simulation.connect("alice")
        assert await alice.request(Think(), Thought) == Thought(of="alice")
        assert await asyncio.to_thread(lambda: "answer") == "answer"
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)


async def test_an_application_that_does_not_start_is_told() -> None:
    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("No database.")
        yield

    with pytest.raises(RuntimeError, match="The application failed at its startup:"):
        async with Simulation(lambda: FastAPI(lifespan=live)):
            pass


def test_a_simulation_needs_virtual_time() -> None:
    async def story() -> None:
        async with Simulation(App):
            pass

    with pytest.raises(TypeError) as error:
        asyncio.run(story())
    assert str(error.value) == (
        "A simulation needs virtual time: run it by simulate() or protocol.testing.run()."
    )


def test_a_failure_says_its_seed_and_what_came_before() -> None:
    async def story(simulation: Simulation) -> None:
        alice = await simulation.connect("alice")
        await alice.request(Join(room="r"))
        assert simulation.random.random() < 0.9

    with pytest.raises(AssertionError) as error:
        simulate(story, App, nodes=1, seeds=range(1000))
    (note,) = error.value.__notes__
    seed, *trace = note.splitlines()
    assert seed.startswith("Run it again by simulate(…, seeds=[")
    assert "alice@n0.1 > Join(type='join', room='r') id=1 key=None" in trace[-2]
