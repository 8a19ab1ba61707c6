"""What a peer asks for comes as fast as it reads, and no message waits for ever."""

import pytest

from protocol.testing import settle
from tests.peers import Ask, Rig, Say, both


@both
async def test_whatever_is_published_at_once_a_peer_that_reads_is_not_slow(wire: bool) -> None:
    rig = Rig(wire)
    ann, bob = await rig.joined("ann"), await rig.joined("bob")
    texts = [f"{number} {'x' * 10_000}" for number in range(300)]
    for text in texts:
        delivery = await rig.chat.rooms["a"].publish(Say(room="a", text=text))
        assert (delivery.receivers, delivery.dropped) == (2, 0)
    for text in texts:
        await rig.chat.users["ann"].send(Say(room="a", text=text))
    [connection] = rig.chat.users["bob"].connections()
    for text in texts:
        await connection.send(Say(room="a", text=text))
    await settle()
    for client in (ann, bob):
        assert [frame["text"] for frame in client.frames] == texts * 2
        await client.close()


@both
@pytest.mark.parametrize("before, asks", [(1, 60), (120, 1)], ids=["answers", "sends"])
async def test_what_a_peer_asks_for_comes_at_the_pace_of_its_reading(
    wire: bool, before: int, asks: int
) -> None:
    rig = Rig(wire)
    client = await rig.joined("ann")
    client.pause()
    for number in range(asks):
        await client.send(Ask(before=before), id=number)
    await settle()
    assert rig.node._budget.used < 200_000
    # What cancels or waits for its turn is seen meanwhile.
    await client.send({"type": "cancel", "ref": asks - 1}, id="cancel")
    await settle()
    client.resume()
    await settle()
    refs = [frame["ref"] for frame in client.frames if "ref" in frame]
    assert sorted(map(str, refs)) == sorted(["cancel", *map(str, range(asks))])
    errors = [(frame["ref"], frame["code"]) for frame in client.frames if frame["type"] == "error"]
    assert errors == [(asks - 1, "cancelled")]
    await client.close()


async def test_a_room_as_busy_as_its_peer_is_fast_keeps_no_message_from_its_turn() -> None:
    rig = Rig(wire=True)
    client = await rig.joined("ann")
    client.pause()
    await rig.chat.rooms["a"].publish(Say(room="a", text="x" * 70_000))
    await client.send(Ask(), id="mine")
    for _ in range(10):
        await settle()
        # Everything is taken, and as much comes behind it.
        client.resume()
        client.pause()
        await rig.chat.rooms["a"].publish(Say(room="a", text="x" * 70_000))
    [connection] = rig.chat.users["ann"].connections()
    assert connection.full
    assert "mine" in [frame.get("ref") for frame in client.frames]
    await client.close()


@both
async def test_more_answers_than_an_outbox_holds_reach_who_asks_for_them_at_once(wire: bool) -> None:
    rig = Rig(wire)
    client = await rig.joined("ann")
    for number in range(150):
        await client.send(Ask(), id=number)
    await settle()
    assert [frame["ref"] for frame in client.frames if frame["type"] == "say"] == list(range(150))
    await client.close()
