"""A key applies a message once; an id is answered."""

import asyncio
from typing import Any

import pytest

from tests.chat.people import create, join, person, say

KEY = "0123456789abcdef"


async def test_a_repeat_with_the_same_key_gets_the_same_offset_and_its_own_ref() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "alice") as other:
        await alice.request(join("general"))
        await other.request(join("general"))
        assert await alice.request(say("general", "once"), key=KEY) == {"type": "ack", "ref": 2, "offset": 1}
        assert await alice.request(say("general", "once"), key=KEY) == {"type": "ack", "ref": 3, "offset": 1}
        assert (await other.request(say("general", "changed"), key=KEY))["offset"] == 1
        assert (await alice.expect("message"))["text"] == "once"
        await alice.expect_nothing()
        assert (await alice.request(say("general", "next")))["offset"] == 2


async def test_a_key_holds_for_its_user_and_room_and_for_two_minutes() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        for client in (alice, bob):
            for room in ("one", "two"):
                await client.request(join(room))
        assert (await alice.request(say("one", "a"), key=KEY))["offset"] == 1
        assert (await bob.request(say("one", "b"), key=KEY))["offset"] == 2
        assert (await alice.request(say("two", "c"), key=KEY))["offset"] == 1
        await asyncio.sleep(119)
        assert (await alice.request(say("one", "a"), key=KEY))["offset"] == 1
        await asyncio.sleep(2)
        assert (await alice.request(say("one", "a"), key=KEY))["offset"] == 3


async def test_the_key_comes_before_membership_and_what_was_refused_is_not_remembered() -> None:
    async with person(create(), "alice") as alice:
        assert (await alice.request(say("general", "early"), key=KEY))["code"] == "not_a_member"
        await alice.request(join("general"))
        assert (await alice.request(say("general", "now"), key=KEY))["offset"] == 1
        await alice.request({"type": "leave", "room": "general"})
        assert (await alice.request(say("general", "now"), key=KEY)) == {"type": "ack", "ref": 5, "offset": 1}


@pytest.mark.parametrize("key", ["short", "x" * 65, 1234567890123456])
async def test_a_key_that_is_none_is_an_invalid_message(key: Any) -> None:
    async with person(create(), "alice", "/ws/general") as alice:
        await alice.expect("joined")
        answer = await alice.request(say("general", "hi"), key=key)
        assert (answer["code"], answer["errors"][0]["loc"]) == ("invalid_message", ["key"])
        await alice.expect_nothing()


@pytest.mark.parametrize("id", ["", "x" * 64, 0, -(2**53), 2**53])
async def test_an_id_is_answered_as_it_is(id: Any) -> None:
    async with person(create(), "alice") as alice:
        await alice.send({"type": "ping"}, id=id)
        assert await alice.expect("pong") == {"type": "pong", "ref": id}


@pytest.mark.parametrize("id", ["x" * 65, 2**53 + 1, 1.5, True, [1]])
async def test_an_id_that_is_none_is_an_invalid_message_without_ref(id: Any) -> None:
    async with person(create(), "alice") as alice:
        await alice.send({"type": "ping"}, id=id)
        error = await alice.expect("error")
        assert (error["code"], error["errors"][0]["loc"]) == ("invalid_message", ["id"])
        assert "ref" not in error
        await alice.expect_nothing()
