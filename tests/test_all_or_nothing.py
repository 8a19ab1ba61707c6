"""Joins that fail or are cancelled, wherever that is, and leaves that are."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from protocol.exceptions import Unavailable
from protocol.testing import settle
from tests.members import Failing, Join, Joined, Leave, Left, Rig, Say, Text


async def unavailable() -> None:
    raise Unavailable("It does not answer.")


async def endless() -> None:
    await asyncio.sleep(3600)


PARTS = [("broker", "subscribe"), ("broker", "history"), ("presence", "join"), ("presence", "members")]


@pytest.mark.parametrize("part, method", PARTS)
@pytest.mark.parametrize("effect", [unavailable, endless])
async def test_a_join_is_all_or_nothing(part: str, method: str, effect: Callable[[], Any]) -> None:
    rig = Rig()
    async with rig.client("watch") as watch, rig.client("ann") as ann:
        await watch.request(Join(room="r2"))
        with Failing(getattr(rig.node, part), method, effect):
            await ann.send(Join(room="r1"), id="join")
            await settle()
            await ann.send({"type": "cancel", "ref": "join"})
            code = "unavailable" if effect is unavailable else "cancelled"
            assert (await ann.expect("error"))["code"] == code
        assert {*rig.node.hub.fanout.rooms} == {"r2"}
        assert (await rig.node.presence.members("r1")).count == 0
        assert rig.node.broker._channels == {"user:watch", "user:ann", "room:r2"}  # type: ignore[attr-defined]
        assert (await ann.request(Say(room="r1", text="x")))["code"] == "not_a_member"
        assert (await ann.request(Join(room="r1"), Joined)).members == ["ann"]
    rig.assert_empty()


async def test_nobody_enters_while_a_join_is_taken_back_however_often_that_is_cancelled() -> None:
    rig = Rig()
    async with rig.client("ann"), rig.client("bob") as bob:
        with Failing(rig.node.broker, "history", endless):
            joining = asyncio.create_task(rig.node.hub.join(rig.connection("ann"), "r1", None))
            await settle()
        with Failing(rig.node.broker, "unsubscribe", lambda: asyncio.sleep(1)):
            for _ in range(3):
                joining.cancel()
                await settle()
            assert not joining.done()
            await bob.send(Join(room="r1"))
            assert (await bob.expect(Joined, within=2)).members == ["bob"]
        assert joining.cancelled()
        await rig.chat.rooms["r1"].publish(Text(text="to bob"))
        await bob.expect(Text, text="to bob")
        assert "room:r1" in rig.node.broker._channels  # type: ignore[attr-defined]
    rig.assert_empty()


@pytest.mark.parametrize("method", ["leave", "members"])
async def test_a_leave_is_finished_even_if_it_is_cancelled(method: str) -> None:
    rig = Rig()

    async def slow() -> None:
        await asyncio.sleep(1)

    async with rig.client("watch") as watch, rig.client("ann") as ann:
        for client in (watch, ann):
            await client.request(Join(room="r1"))
        with Failing(rig.node.presence, method, slow):
            await ann.send(Leave(room="r1"), id="leave")
            await settle()
            await ann.send({"type": "cancel", "ref": "leave"})
            assert (await ann.expect("error", within=3))["code"] == "cancelled"
            assert (await watch.expect(Left, within=3)).user == "ann"
        assert (await rig.node.presence.members("r1")).count == 1
