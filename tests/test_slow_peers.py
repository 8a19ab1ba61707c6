"""A peer that is too slow loses what may be lost, is given up in time, and slows nobody."""

import asyncio

import pytest

from protocol import Outbox
from protocol.testing import settle
from protocol.writer import DirectWriter
from tests.peers import Ask, Line, Rig, Say, Seen, Tick, both, end


@both
async def test_who_asks_and_does_not_read_is_given_up_in_time(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(seconds=5))
    seen = Seen()
    client = await rig.joined("ann", seen)
    client.pause()
    for number in range(300):
        await client.send(Ask(), id=number)
    await asyncio.sleep(6)
    assert seen.events.count("slow") == 1
    assert len(rig.node.hub.fanout) == 0
    await end(client)


@both
async def test_who_leaves_while_its_answers_wait_is_forgotten_at_once(wire: bool) -> None:
    rig = Rig(wire)
    client = await rig.joined("ann")
    client.pause()
    for number in range(300):
        await client.send(Ask(), id=number)
    await settle()
    client.drop()
    await settle()
    assert len(rig.node.hub.fanout) == 0
    await end(client)


@both
async def test_a_peer_that_reads_nothing_is_given_up_in_time_and_slows_nobody(
    wire: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(wire, outbox=Outbox(seconds=5))
    seen = Seen()
    stuck, other = await rig.joined("stuck", seen), await rig.joined("other")
    [connection] = rig.chat.users["stuck"].connections()
    stuck.pause()
    await other.request(Say(room="a", text="hi"))
    await other.expect(Say)
    await asyncio.sleep(4)
    assert "slow" not in seen.events
    await asyncio.sleep(2)
    assert caplog.messages == [f"A slow consumer is given up: connection={connection.id}"]
    assert seen.events[0] == "attached"
    assert seen.events.count("slow") == 1
    assert len(rig.node.hub.fanout.users) == 1
    if wire:
        assert stuck.closed == (1006, "")
    await end(stuck, other)


@both
async def test_a_full_outbox_ends_the_connection_and_nothing_of_it_stays(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(bytes=2048))
    seen = Seen()
    stuck, other = await rig.joined("stuck", seen), await rig.joined("other")
    stuck.pause()
    deliveries = []
    for _ in range(6):
        deliveries.append(await rig.chat.rooms["a"].publish(Say(room="a", text="x" * 500)))
        await settle()
    assert [delivery.dropped for delivery in deliveries].count(1) == 1
    assert (deliveries[0].receivers, deliveries[-1].receivers) == (2, 1)
    assert seen.events.count("slow") == 1
    assert len(rig.node.hub.fanout.users) == 1
    await end(stuck, other)
    assert rig.node._budget.used == 0


@both
async def test_of_what_may_be_lost_a_slow_peer_gets_the_latest(wire: bool) -> None:
    rig = Rig(wire)
    seen = Seen()
    client = await rig.joined("ann", seen)
    client.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="first"))
    await settle()
    lost = 0
    for price in range(5):
        for symbol in ("x", "y"):
            lost += (await rig.chat.rooms["a"].publish(Tick(symbol=symbol, price=price))).dropped
    client.resume()
    await settle()
    ticks = [(frame["symbol"], frame["price"]) for frame in client.frames if frame["type"] == "tick"]
    assert {("x", 4), ("y", 4)} <= {*ticks}
    assert len(ticks) + lost == 10
    assert seen.events.count("dropped 1 tick") == lost > 0
    await end(client)


@both
async def test_every_old_message_that_makes_room_for_a_new_one_is_told_to_its_publisher(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(bytes=2048))
    seen = Seen()
    client, reading = await rig.joined("ann", seen), await rig.joined("bob")
    client.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="first"))
    await settle()
    deliveries = [await rig.chat.rooms["a"].publish(Line(text=str(n) * 200)) for n in range(10)]
    assert not deliveries[0].dropped
    assert {delivery.receivers for delivery in deliveries} == {2}
    large = await rig.chat.rooms["a"].publish(Line(text="x" * 1500))
    assert large.dropped > 1
    client.resume()
    await settle()
    got = [frame["text"] for frame in client.frames if frame["type"] == "line"]
    told = sum(delivery.dropped for delivery in (*deliveries, large))
    assert got == [*(str(n) * 200 for n in range(told, 10)), "x" * 1500]
    assert [frame["text"][0] for frame in reading.frames if frame["type"] == "line"] == [*"0123456789x"]
    assert f"dropped {large.dropped} line" in seen.events
    await end(client, reading)


@both
async def test_a_close_comes_behind_everything_and_a_peer_that_never_takes_it_is_given_up(wire: bool) -> None:
    rig = Rig(wire, outbox=Outbox(seconds=5))
    reading, stuck = await rig.joined("reading"), await rig.joined("stuck")
    stuck.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="last"))
    for user in ("reading", "stuck"):
        await rig.chat.users[user].disconnect(4001, "bye")
    assert await reading.expect_close() == (4001, "bye")
    assert [frame["text"] for frame in reading.frames] == ["last"]
    await asyncio.sleep(6)
    await settle()
    assert len(rig.node.hub.fanout) == 0
    await end(reading, stuck)


async def test_a_peer_that_reads_slowly_is_not_given_up() -> None:
    rig = Rig(wire=True, outbox=Outbox(seconds=5))
    seen = Seen()
    client = await rig.joined("ann", seen)
    [connection] = rig.chat.users["ann"].connections()
    writer = connection._writer
    assert isinstance(writer, DirectWriter)
    backlog = 1000
    writer._wire.backlog = lambda: backlog  # type: ignore[method-assign]
    writer.pause()
    for _ in range(5):
        backlog -= 100
        await asyncio.sleep(5)
    assert "slow" not in seen.events
    await asyncio.sleep(6)
    assert "slow" in seen.events
    await end(client)
