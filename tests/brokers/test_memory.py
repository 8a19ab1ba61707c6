import tracemalloc
from collections import defaultdict, deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import brokers
from protocol.brokers import KEY_SECONDS, MemoryBroker, MemoryBus, Publication
from protocol.history import History, Recovery
from protocol.types import Delivery, Position
from tests.calls import done
from tests.misdeclared import refusal


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def running(bus: MemoryBus, received: list[Publication] | None = None) -> MemoryBroker:
    def deliver(publication: Publication) -> Delivery:
        if received is not None:
            received.append(publication)
        return Delivery(1)

    broker = MemoryBroker(bus)
    done(broker.start(deliver))
    return broker


def to(*channels: str, body: bytes = b"{}") -> Publication:
    return Publication(channels, "say", body)


def test_no_call_suspends() -> None:
    received: list[Publication] = []
    broker = running(MemoryBus(), received)
    done(broker.subscribe("room:a"))
    assert done(broker.publish(to("room:a"), history=History(), key=("u", "k"))).receivers == 1
    assert len(received) == 1
    assert done(broker.repeated("room:a", ("u", "k"))).repeated
    assert done(broker.history("room:a", history=History(), limit=1)).entries == tuple(received)
    done(broker.unsubscribe("room:a"))
    done(broker.close())


def test_receivers_are_the_connections_here_and_the_other_nodes() -> None:
    bus = MemoryBus()
    here = MemoryBroker(bus)
    done(here.start(lambda publication: Delivery(receivers=5, dropped=2)))
    for broker in (here, running(bus), running(bus)):
        done(broker.subscribe("room:a"))
        done(broker.subscribe("room:b"))
    assert done(here.publish(to("room:a", "room:b"))) == Delivery(receivers=7, dropped=2)
    done(here.unsubscribe("room:a"))
    assert done(here.publish(to("room:a"))) == Delivery(receivers=2)


def test_what_20_000_rooms_leave_behind_is_forgotten_in_passing() -> None:
    time, history = Time(), History(ttl=60)
    bus = MemoryBus(monotonic=time)
    broker = running(bus)
    for number in range(20_000):
        channel = f"room:{number}"
        done(broker.subscribe(channel))
        done(broker.publish(to(channel), history=history, key=("u", str(number))))
        done(broker.unsubscribe(channel))
    assert len(bus) == 40_000
    time.now = KEY_SECONDS + history.ttl
    held = len(bus)
    for _ in range(6_000):
        done(broker.history("room:one", history=history))
        # No single call pays for all.
        assert 0 <= held - len(bus) <= 8
        held = len(bus)
    assert held == 1


def test_memory_is_bounded_while_rooms_come_and_go() -> None:
    time, history = Time(), History(ttl=60)
    bus = MemoryBus(monotonic=time)
    broker = running(bus)
    done(broker.subscribe("room:lasting"))
    lasting = done(broker.publish(to("room:lasting"), history=history)).position
    for number in range(20_000):
        time.now += 0.1
        done(broker.publish(to(f"room:{number}"), history=history, key=("u", str(number))))
        assert len(bus) <= 10 * (history.ttl + KEY_SECONDS) + 10
    assert done(broker.history("room:lasting", history=history, after=lasting)).recovered


def test_streams_together_have_a_bound_however_much_is_published_within_their_ttl() -> None:
    bus, history, random = MemoryBus(max_bytes=1 << 20), History(), Random(1)
    broker = running(bus)
    done(broker.subscribe("room:lasting"))
    first = done(broker.publish(to("room:lasting"), history=history)).position
    tracemalloc.start()
    try:
        for number in range(10_000):
            channel = f"room:{number if number % 2 else number % 50}"
            done(broker.publish(to(channel, body=random.randbytes(random.randrange(2000))), history=history))
        held = tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            done(broker.history(f"room:read-{number}", history=history))
        read = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # What an object takes differs a little between versions of Python, and from run to run.
    assert 1 << 19 < held < 5 << 18
    assert read < 5 << 18
    # Of a room that somebody is in nothing changes but what can be recovered.
    page = done(broker.history("room:lasting", history=history, after=Position(0, first.epoch)))
    assert (page.position, page.recovered) == (first, False)


def test_the_newest_of_what_was_used_last_stays_and_nobody_gets_a_hole() -> None:
    bus, history = MemoryBus(max_bytes=20_000), History()
    broker = running(bus)
    old = done(broker.publish(to("room:old"), history=history)).position
    positions = [
        done(broker.publish(to("room:new", body=b"x" * 1000), history=history)).position for _ in range(100)
    ]
    recovered = [
        done(broker.history("room:new", history=history, after=position)).recovered for position in positions
    ]
    assert recovered == sorted(recovered)
    assert 10 < sum(recovered) < 20
    page = done(broker.history("room:old", history=history, after=old))
    assert not page.recovered
    assert page.position.epoch != old.epoch
    # What is larger than all that may be held is stored alone.
    last = done(broker.publish(to("room:new", body=b"x" * 50_000), history=history)).position
    assert last.offset == 101
    assert len(done(broker.history("room:new", history=history, after=positions[-1])).entries) == 1


def test_a_key_that_is_applied_again_does_not_keep_those_behind_it() -> None:
    time = Time()
    bus = MemoryBus(monotonic=time)
    broker = running(bus)
    for number in range(20):
        done(broker.publish(to("room:a"), key=("u", str(number))))
    time.now = KEY_SECONDS
    assert not done(broker.publish(to("room:a"), key=("u", "10"))).repeated
    time.now += 1
    for _ in range(20):
        done(broker.publish(to("room:a"), key=("u", "10")))
    assert len(bus) == 1


def test_the_bodies_of_a_quiet_room_do_not_stay() -> None:
    time, history = Time(), History(ttl=60)
    bus = MemoryBus(monotonic=time)
    broker = running(bus)
    done(broker.subscribe("room:quiet"))
    done(broker.publish(to("room:quiet"), history=history))
    assert len(bus._streams["room:quiet"]) == 1
    time.now = 60
    done(broker.history("room:other", history=history))
    assert len(bus._streams["room:quiet"]) == 0


def test_a_forgotten_stream_begins_anew_in_another_epoch() -> None:
    time, history = Time(), History(ttl=60)
    broker = running(MemoryBus(monotonic=time))
    before = done(broker.publish(to("room:a"), history=history)).position
    time.now = 60
    page = done(broker.history("room:a", history=history, after=before))
    assert (page.entries, page.position.offset, page.recovered) == ((), 0, False)
    assert page.position.epoch != before.epoch


def test_the_epochs_of_a_bus_are_its_own_and_follow_from_its_name() -> None:
    def epochs(bus: MemoryBus) -> list[str]:
        broker = running(bus)
        calls = [broker.history("room:a", history=None)]
        calls += [broker.history(f"room:{name}", history=History()) for name in "ab"]
        return [done(call).position.epoch for call in calls]

    assert epochs(MemoryBus(epoch="k")) == epochs(MemoryBus(epoch="k")) == ["k", "k.1", "k.2"]
    assert not set(epochs(MemoryBus())) & set(epochs(MemoryBus()))


def test_what_is_carried_late_is_delivered_only_where_it_is_still_wanted() -> None:
    carried: deque[tuple[MemoryBroker, Publication]] = deque()

    def carry(broker: MemoryBroker, publication: Publication) -> None:
        carried.append((broker, publication))

    bus = MemoryBus(carry=carry)
    received: list[Publication] = []
    here, there = running(bus), running(bus, received)
    done(there.subscribe("room:a"))
    assert done(here.publish(to("room:a", body=b"1"))).receivers == 1
    assert done(there.publish(to("room:a", body=b"2"))).receivers == 1
    assert received == []
    broker, publication = carried.popleft()
    assert broker.receive(publication) == Delivery(1)
    done(there.unsubscribe("room:a"))
    broker, publication = carried.popleft()
    assert broker.receive(publication) == Delivery()
    done(there.close())
    assert broker.receive(publication) == Delivery()
    assert [one.body for one in received] == [b"1"]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["publish", "arrive", "join", "take"]), st.integers(0, 2)), max_size=60
    )
)
def test_nodes_that_hear_late_still_give_each_reader_each_offset_once(steps: list[tuple[str, int]]) -> None:
    links: defaultdict[MemoryBroker, deque[Publication]] = defaultdict(deque)

    def carry(broker: MemoryBroker, publication: Publication) -> None:
        links[broker].append(publication)

    bus = MemoryBus(carry=carry)
    history = History()
    start = Position(0, done(running(bus).history("room:a", history=history)).position.epoch)
    readers: list[Recovery[Publication] | None] = [None] * 3
    got: list[list[int]] = [[], [], []]

    def node(place: int) -> MemoryBroker:
        def deliver(publication: Publication) -> Delivery:
            reader = readers[place]
            assert reader is not None
            assert publication.position is not None
            assert reader.live(publication.position, publication)
            return Delivery(1)

        broker = MemoryBroker(bus)
        done(broker.start(deliver))
        return broker

    def arrive(place: int) -> None:
        if links[nodes[place]]:
            nodes[place].receive(links[nodes[place]].popleft())

    def take(place: int) -> None:
        reader = readers[place]
        while reader is not None and len(reader):
            position = reader.pop().position
            assert position is not None
            got[place].append(position.offset)

    nodes = [node(place) for place in range(3)]
    published = 0
    for step, place in steps:
        if step == "publish":
            done(nodes[place].publish(to("room:a"), history=history))
            published += 1
        elif step == "arrive":
            arrive(place)
        elif step == "take":
            take(place)
        elif readers[place] is None:
            reader = readers[place] = Recovery()
            done(nodes[place].subscribe("room:a"))
            page = done(nodes[place].history("room:a", history=history, after=start))
            assert reader.begin(page.position, page.entries)
    for place in range(3):
        while links[nodes[place]]:
            arrive(place)
        take(place)
        assert got[place] == ([] if readers[place] is None else list(range(1, published + 1)))


def test_a_url_names_the_broker() -> None:
    time = Time()
    broker = brokers.connect("memory://", monotonic=time)
    assert isinstance(broker, MemoryBroker)
    done(broker.start(lambda publication: Delivery()))
    assert not done(broker.publish(to("room:a"), key=("u", "k"))).repeated
    assert done(broker.publish(to("room:a"), key=("u", "k"))).repeated
    time.now = KEY_SECONDS
    assert not done(broker.publish(to("room:a"), key=("u", "k"))).repeated


def test_each_connect_is_a_bus_of_its_own() -> None:
    first, second = brokers.connect("memory://"), brokers.connect("memory://")
    for broker in (first, second):
        done(broker.start(lambda publication: Delivery(1)))
        done(broker.subscribe("room:a"))
    assert done(first.publish(to("room:a"))).receivers == 1


@pytest.mark.parametrize("url", ["nats://localhost", "memory://shared", "memory", ""])
def test_a_url_that_names_no_broker_is_refused(url: str) -> None:
    assert refusal(lambda: brokers.connect(url)) == f"No broker is known for {url!r}. There is: 'memory://'."
