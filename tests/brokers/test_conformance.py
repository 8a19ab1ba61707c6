"""What every broker must do. A new one is added to ``CLUSTERS``, and passes this unchanged."""

import asyncio
from dataclasses import replace

import pytest

from protocol.brokers import KEY_SECONDS, Publication
from protocol.exceptions import Unavailable
from protocol.history import History, Page, Recovery
from protocol.types import Delivery, Position
from tests.brokers.clusters import Cluster, Node, nodes

ROOM = "room:general"
KEY = ("alice", "0123456789abcdef")


def publication(body: str = "{}", *channels: str, message: object = None) -> Publication:
    return Publication(channels or (ROOM,), "say", body.encode(), message=message)


async def publish(node: Node, *bodies: str, history: History) -> Position:
    """Publish each of ``bodies`` to the room; return the position of the last."""
    delivery = Delivery()
    for body in bodies:
        delivery = await node.broker.publish(publication(body), history=history)
    assert delivery.position is not None
    return delivery.position


async def read(
    node: Node, history: History | None, after: Position | None = None, limit: int | None = None
) -> tuple[list[bytes], bool]:
    page = await node.broker.history(ROOM, history=history, after=after, limit=limit)
    return [entry.body for entry in page.entries], page.recovered


# Delivery and order.


async def test_a_publication_reaches_every_subscribed_node_and_no_other(cluster: Cluster) -> None:
    async with nodes(cluster, 3, ROOM) as [a, b, c], nodes(cluster, 1) as [elsewhere]:
        await elsewhere.broker.subscribe("room:other")
        await a.broker.publish(publication("1"))
        await c.broker.publish(publication("2"))
        for node in (a, b, c):
            assert await node.bodies(2) == [b"1", b"2"]
        await a.broker.publish(publication("barrier", "room:other"))
        assert await elsewhere.bodies(1) == [b"barrier"]


async def test_everything_of_a_publication_arrives_but_the_message_which_stays_on_its_node(
    cluster: Cluster,
) -> None:
    sent = Publication(
        (ROOM,), "say", b'{"a":1}', exclude_connection="c", exclude_user="alice", message=object()
    )
    async with nodes(cluster, 2, ROOM) as [a, b]:
        for history in (None, History()):
            a.received.clear()
            b.received.clear()
            delivery = await a.broker.publish(sent, history=history)
            await a.bodies(1)
            await b.bodies(1)
            assert a.received == b.received == [replace(sent, position=delivery.position)]
            assert a.received[0].message is sent.message
            assert b.received[0].message is None


async def test_a_node_publishes_what_it_is_not_subscribed_to(cluster: Cluster) -> None:
    async with nodes(cluster, 1, ROOM) as [there], nodes(cluster, 1) as [here]:
        await here.broker.publish(publication("1"))
        assert await there.bodies(1) == [b"1"]
        assert here.received == []


async def test_a_node_gets_a_publication_to_several_of_its_channels_once(cluster: Cluster) -> None:
    async with nodes(cluster, 2, "user:alice") as [a, b], nodes(cluster, 1, "user:bob") as [c]:
        for node in (a, b):
            await node.broker.subscribe("user:bob")
        await a.broker.publish(publication("1", "user:alice", "user:bob", "user:carol"))
        await a.broker.publish(publication("barrier", "user:bob"))
        for node in (a, b, c):
            assert await node.bodies(2) == [b"1", b"barrier"]
            assert node.received[0].channels == ("user:alice", "user:bob", "user:carol")


async def test_nodes_get_a_room_with_history_in_one_order_by_offset(cluster: Cluster) -> None:
    async with nodes(cluster, 3, ROOM) as [a, b, c]:

        async def talk(node: Node, name: str) -> None:
            for number in range(20):
                await publish(node, f"{name}{number}", history=History())

        await asyncio.gather(talk(a, "a"), talk(b, "b"), talk(c, "c"))
        expected = await a.bodies(60)
        for node in (a, b, c):
            assert await node.bodies(60) == expected
            assert [p.position and p.position.offset for p in node.received] == list(range(1, 61))


async def test_a_room_without_history_keeps_the_order_of_each_publishing_node(cluster: Cluster) -> None:
    async with nodes(cluster, 3, ROOM) as [a, b, c]:

        async def talk(node: Node, name: str) -> None:
            for number in range(20):
                await node.broker.publish(publication(f"{name}{number:02}"))

        await asyncio.gather(talk(a, "a"), talk(b, "b"))
        for name in (b"a", b"b"):
            heard = [body for body in await c.bodies(40) if body.startswith(name)]
            assert heard == sorted(heard)
            assert len(heard) == 20


async def test_nothing_arrives_after_unsubscribing(cluster: Cluster) -> None:
    async with nodes(cluster, 2, ROOM) as [a, b]:
        await b.broker.unsubscribe(ROOM)
        await a.broker.publish(publication("unseen"))
        await b.broker.subscribe(ROOM)
        await a.broker.publish(publication("seen"))
        assert await b.bodies(1) == [b"seen"]


async def test_subscribing_twice_is_subscribing_once(cluster: Cluster) -> None:
    async with nodes(cluster, 2, ROOM) as [a, b]:
        await b.broker.subscribe(ROOM)
        await a.broker.publish(publication("1"))
        await a.broker.publish(publication("2"))
        assert await b.bodies(2) == [b"1", b"2"]
        await b.broker.unsubscribe(ROOM)
        await a.broker.unsubscribe(ROOM)
        assert (await a.broker.publish(publication("3"))).receivers == 0


async def test_unsubscribing_without_a_subscription_does_nothing(cluster: Cluster) -> None:
    async with nodes(cluster, 2, ROOM) as [a, b]:
        await a.broker.unsubscribe("room:never")
        await a.broker.publish(publication("1"))
        assert await b.bodies(1) == [b"1"]


async def test_a_publication_has_receivers_where_a_node_is_subscribed(cluster: Cluster) -> None:
    async with nodes(cluster, 2) as [a, b]:
        a.answer = Delivery(receivers=1)
        assert (await a.broker.publish(publication())).receivers == 0
        await b.broker.subscribe(ROOM)
        assert (await a.broker.publish(publication())).receivers == 1
        await a.broker.subscribe(ROOM)
        assert (await a.broker.publish(publication())).receivers == 2
        await b.broker.unsubscribe(ROOM)
        assert (await a.broker.publish(publication())).receivers == 1


# History.


async def test_a_publication_is_stored_before_it_is_acknowledged(cluster: Cluster) -> None:
    async with nodes(cluster, 2) as [a, b]:
        delivery = await a.broker.publish(publication("1", message=object()), history=History())
        assert delivery.position is not None
        assert delivery.position.offset == 1
        page = await b.broker.history(ROOM, history=History(), after=Position(0, delivery.position.epoch))
        stored = replace(publication("1"), position=delivery.position)
        assert page == Page((stored,), delivery.position, recovered=True)
        assert page.entries[0].message is None


async def test_a_recovery_is_everything_that_was_missed_or_nothing(cluster: Cluster) -> None:
    history = History(size=4, recover=3)
    async with nodes(cluster, 2) as [a, b]:
        top = await publish(a, "1", "2", "3", "4", "5", "6", history=history)
        assert top.offset == 6
        assert await read(b, history, top) == ([], True)
        assert await read(b, history, replace(top, offset=3)) == ([b"4", b"5", b"6"], True)
        assert await read(b, history, replace(top, offset=2)) == ([], False)
        assert await read(b, history, replace(top, offset=7)) == ([], False)
        assert await read(b, history, replace(top, epoch="another")) == ([], False)
        assert await read(b, history) == ([], False)


async def test_a_history_is_read_page_by_page(cluster: Cluster) -> None:
    history = History(size=4, recover=1)
    async with nodes(cluster, 2) as [a, b]:
        top = await publish(a, "1", "2", "3", "4", "5", "6", history=history)
        assert await read(b, history, limit=2) == ([b"5", b"6"], False)
        assert await read(b, history, limit=99) == ([b"3", b"4", b"5", b"6"], False)
        assert await read(b, history, replace(top, offset=2), limit=3) == ([b"3", b"4", b"5"], True)
        assert await read(b, history, replace(top, offset=5), limit=3) == ([b"6"], True)
        assert await read(b, history, replace(top, offset=1), limit=3) == ([], False)


async def test_a_publication_is_kept_for_its_ttl_and_no_longer(cluster: Cluster) -> None:
    history = History(ttl=60)
    async with nodes(cluster, 1, ROOM) as [node]:
        await publish(node, "1", history=history)
        cluster.advance(30)
        top = await publish(node, "2", history=history)
        cluster.advance(29)
        start = replace(top, offset=0)
        assert await read(node, history, start) == ([b"1", b"2"], True)
        cluster.advance(2)
        assert await read(node, history, start) == ([], False)
        assert await read(node, history, replace(top, offset=1)) == ([b"2"], True)


async def test_a_room_that_somebody_listens_to_is_never_forgotten(cluster: Cluster) -> None:
    history = History(ttl=60)
    async with nodes(cluster, 1, ROOM) as [node]:
        top = await publish(node, "1", history=history)
        for _ in range(5):
            cluster.advance(59)
            await node.broker.publish(publication("elsewhere", "room:other"), history=history)
        page = await node.broker.history(ROOM, history=history, after=top)
        assert page == Page((), top, recovered=True)
        assert await publish(node, "2", history=history) == replace(top, offset=2)


async def test_who_left_a_quiet_room_last_comes_back_within_the_ttl(cluster: Cluster) -> None:
    history = History(ttl=60)
    async with nodes(cluster, 1, ROOM) as [node]:
        top = await publish(node, "1", history=history)
        cluster.advance(300)
        await node.broker.unsubscribe(ROOM)
        cluster.advance(59)
        await node.broker.publish(publication("elsewhere", "room:other"), history=history)
        assert await read(node, history, top) == ([], True)


async def test_a_room_that_was_read_before_its_first_publication_keeps_its_epoch(cluster: Cluster) -> None:
    async with nodes(cluster, 2) as [a, b]:
        before = await a.broker.history(ROOM, history=History())
        assert before.position.offset == 0
        await publish(b, "1", history=History())
        assert await read(a, History(), before.position) == ([b"1"], True)


async def test_rooms_have_streams_of_their_own(cluster: Cluster) -> None:
    async with nodes(cluster, 1) as [node]:
        await publish(node, "1", "2", history=History())
        delivery = await node.broker.publish(publication("other", "room:other"), history=History())
        assert delivery.position is not None
        assert delivery.position.offset == 1
        assert await read(node, History(), limit=9) == ([b"1", b"2"], False)


async def test_a_room_without_history_has_offset_0_and_one_epoch_on_all_nodes(cluster: Cluster) -> None:
    async with nodes(cluster, 2, ROOM) as [a, b]:
        first = await a.broker.history(ROOM, history=None)
        assert (await a.broker.publish(publication())).position is None
        cluster.advance(100_000)
        assert await b.broker.history(ROOM, history=None, after=first.position, limit=9) == first
        assert first == Page((), Position(0, first.position.epoch), recovered=False)


async def test_what_is_not_stored_takes_no_offset(cluster: Cluster) -> None:
    async with nodes(cluster, 2, ROOM) as [a, b]:
        await publish(a, "1", history=History())
        announcement = await a.broker.publish(publication("announcement"))
        assert announcement.position is None
        top = await publish(a, "2", history=History())
        assert top.offset == 2
        assert await b.bodies(3) == [b"1", b"announcement", b"2"]
        assert await read(b, History(), limit=9) == ([b"1", b"2"], False)


async def test_recovery_beside_publishing_gives_each_offset_once(cluster: Cluster) -> None:
    history = History(recover=1000)
    async with nodes(cluster, 1) as [talker], nodes(cluster, 1) as [reader]:
        start = (await talker.broker.history(ROOM, history=history)).position

        halfway = asyncio.Event()

        async def talk() -> None:
            for number in range(100):
                await publish(talker, str(number), history=history)
                if number == 50:
                    halfway.set()
                await asyncio.sleep(0)

        talking = asyncio.create_task(talk())
        await halfway.wait()
        await reader.broker.subscribe(ROOM)
        page = await reader.broker.history(ROOM, history=history, after=start)
        await talking
        last = await publish(talker, "last", history=history)
        while not reader.received or reader.received[-1].position != last:
            await reader.bodies(len(reader.received) + 1)
        recovery: Recovery[Publication] = Recovery()
        assert recovery.begin(page.position, page.entries)
        assert all(recovery.live(p.position, p) for p in reader.received if p.position)
        assert [recovery.pop().body for _ in range(len(recovery))] == [
            *(str(number).encode() for number in range(100)),
            b"last",
        ]


# Keys.


@pytest.mark.parametrize("history", [None, History()])
async def test_a_key_is_applied_once_on_whatever_node(cluster: Cluster, history: History | None) -> None:
    async with nodes(cluster, 2, ROOM) as [a, b]:
        first = await a.broker.publish(publication("first"), history=history, key=KEY)
        repeat = await b.broker.publish(publication("another content"), history=history, key=KEY)
        assert not first.repeated
        assert repeat == Delivery(position=first.position, repeated=True)
        await b.broker.publish(publication("barrier"), history=history)
        for node in (a, b):
            assert await node.bodies(2) == [b"first", b"barrier"]


async def test_of_repeats_at_once_one_is_applied_and_all_get_its_position(cluster: Cluster) -> None:
    async with nodes(cluster, 3, ROOM) as all_nodes:
        deliveries = await asyncio.gather(
            *(
                node.broker.publish(publication(f"{place}"), history=History(), key=KEY)
                for place, node in enumerate(all_nodes * 4)
            )
        )
        assert sum(not delivery.repeated for delivery in deliveries) == 1
        assert {delivery.position and delivery.position.offset for delivery in deliveries} == {1}
        await all_nodes[0].broker.publish(publication("barrier"))
        for node in all_nodes:
            assert len(await node.bodies(2)) == 2


async def test_a_key_is_that_of_a_user_in_a_room(cluster: Cluster) -> None:
    user, key = KEY
    async with nodes(cluster, 1) as [node]:
        for channel, other in [
            (ROOM, KEY),
            ("room:other", KEY),
            (ROOM, ("bob", key)),
            (ROOM, (user, "fedcba9876543210")),
        ]:
            delivery = await node.broker.publish(publication("1", channel), history=History(), key=other)
            assert not delivery.repeated


async def test_a_key_is_remembered_from_its_application(cluster: Cluster) -> None:
    async with nodes(cluster, 1) as [node]:
        await node.broker.publish(publication(), history=History(), key=KEY)
        cluster.advance(KEY_SECONDS - 1)
        assert (await node.broker.publish(publication(), history=History(), key=KEY)).repeated
        cluster.advance(2)
        again = await node.broker.publish(publication(), history=History(), key=KEY)
        assert again.position is not None
        assert (again.repeated, again.position.offset) == (False, 2)
        cluster.advance(KEY_SECONDS - 1)
        assert (await node.broker.publish(publication(), history=History(), key=KEY)).repeated


async def test_a_repeat_is_known_before_it_is_published(cluster: Cluster) -> None:
    async with nodes(cluster, 2) as [a, b]:
        assert await b.broker.repeated(ROOM, KEY) is None
        first = await a.broker.publish(publication(), history=History(), key=KEY)
        assert await b.broker.repeated(ROOM, KEY) == Delivery(position=first.position, repeated=True)
        assert await b.broker.repeated("room:other", KEY) is None
        cluster.advance(KEY_SECONDS + 1)
        assert await b.broker.repeated(ROOM, KEY) is None


@pytest.mark.parametrize("options", [{"history": History()}, {"key": KEY}])
async def test_history_and_key_go_with_one_channel(cluster: Cluster, options: dict[str, object]) -> None:
    async with nodes(cluster, 1) as [node]:
        with pytest.raises(ValueError, match="too many values to unpack"):
            await node.broker.publish(publication("1", "room:a", "room:b"), **options)  # type: ignore[arg-type]


# Start and end.


async def test_a_broker_that_does_not_run_is_unavailable(cluster: Cluster) -> None:
    broker = cluster.broker()
    for _ in ("before its start", "after its end"):
        for call in (
            broker.subscribe(ROOM),
            broker.publish(publication()),
            broker.repeated(ROOM, KEY),
            broker.history(ROOM, history=History()),
        ):
            with pytest.raises(Unavailable) as error:
                await call
            assert str(error.value) == "The broker is not running."
        await broker.unsubscribe(ROOM)
        await broker.start(lambda publication: Delivery())
        await broker.close()
        await broker.close()


async def test_a_closed_node_gets_nothing_and_the_others_do_not_count_it(cluster: Cluster) -> None:
    async with nodes(cluster, 2, ROOM) as [a, b]:
        await a.broker.unsubscribe(ROOM)
        await b.broker.close()
        assert (await a.broker.publish(publication())).receivers == 0
        await b.broker.start(b.deliver)
        assert (await a.broker.publish(publication())).receivers == 0
        assert b.received == []
