"""Joining, leaving and talking in rooms."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from examples.chat.app import create_chat
from examples.chat.settings import Settings
from protocol.testing import Client, Refused
from protocol.transforms import Censor
from schemas.rooms import Said
from tests.chat.people import SECRET, create, join, person, say

KEY = "0123456789abcdef"


def types(client: Client) -> list[str]:
    return [frame["type"] for frame in client.frames]


def offsets(client: Client) -> list[int]:
    return [frame["offset"] for frame in client.frames if frame["type"] == "message"]


async def test_who_joins_gets_the_members_and_the_others_hear_of_it() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        first = await alice.request(join("general"))
        epoch = first.pop("epoch")
        assert epoch
        assert first == {
            "type": "joined",
            "ref": 1,
            "room": "general",
            "members": [{"user": "alice", "status": "online"}],
            "count": 1,
            "offset": 0,
            "recovered": False,
        }
        second = await bob.request(join("general"))
        assert second == {
            "type": "joined",
            "ref": 1,
            "room": "general",
            "members": [{"user": "alice", "status": "online"}, {"user": "bob", "status": "online"}],
            "count": 2,
            "offset": 0,
            "epoch": epoch,
            "recovered": False,
        }
        assert await alice.expect("member_joined") == {
            "type": "member_joined",
            "room": "general",
            "user": "bob",
        }
        await alice.expect_nothing()
        await bob.expect_nothing()


async def test_a_user_is_a_member_while_any_of_its_connections_is() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as one:
        await alice.request(join("general"))
        await one.request(join("general"))
        await alice.expect("member_joined", user="bob")
        async with person(app, "bob") as two:
            assert (await two.request(join("general")))["count"] == 2
            await alice.expect_nothing()
            await one.expect_nothing()
            assert await one.request({"type": "leave", "room": "general"}) == {"type": "ack", "ref": 2}
            await alice.expect_nothing()
        assert await alice.expect("member_left") == {"type": "member_left", "room": "general", "user": "bob"}
        await alice.expect_nothing()


@pytest.mark.parametrize("vanish", [False, True])
async def test_a_disconnect_leaves_every_room_once(vanish: bool) -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        for room in ("one", "two"):
            await alice.request(join(room))
            await bob.request(join(room))
        alice.frames.clear()
        if vanish:
            bob.drop()
        else:
            await bob.close()
        assert (await alice.expect("member_left", room="one"))["user"] == "bob"
        assert (await alice.expect("member_left", room="two"))["user"] == "bob"
        await alice.expect_nothing()
        assert (await alice.request(join("one")))["count"] == 1


async def test_leave_answers_with_ack_and_of_a_room_not_joined_with_not_a_member() -> None:
    app = create()
    async with person(app, "alice") as alice:
        await alice.request(join("general"))
        assert await alice.request({"type": "leave", "room": "general"}) == {"type": "ack", "ref": 2}
        assert await alice.request({"type": "leave", "room": "general"}) == {
            "type": "error",
            "code": "not_a_member",
            "detail": "The connection is not in this room.",
            "retryable": False,
            "ref": 3,
        }
        assert (await alice.request(say("general", "hi")))["code"] == "not_a_member"


async def test_who_joins_again_gets_a_fresh_joined_and_nothing_is_announced_or_replayed() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        await bob.request(join("general"))
        first = await alice.request(join("general"))
        await alice.request(say("general", "hi"))
        await bob.expect("member_joined")
        await bob.expect("message")
        await alice.expect("message")
        again = await alice.request(join("general", offset=first["offset"], epoch=first["epoch"]))
        assert again == first | {"ref": 3, "offset": 1, "recovered": False}
        await alice.expect_nothing()
        await bob.expect_nothing()


async def test_a_message_reaches_every_member_with_the_offset_of_the_ack() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob, person(app, "carol") as carol:
        await alice.request(join("general"))
        await bob.request(join("general"))
        await carol.request(join("elsewhere"))
        assert await alice.request(say("general", "hi")) == {"type": "ack", "ref": 2, "offset": 1}
        assert await alice.request(say("general", "there")) == {"type": "ack", "ref": 3, "offset": 2}
        for client in (alice, bob):
            message = await client.expect("message", offset=1)
            at = datetime.fromisoformat(message.pop("at"))
            assert at.tzinfo == UTC
            assert datetime.now(UTC) - at < timedelta(minutes=1)
            assert message == {
                "type": "message",
                "room": "general",
                "user": "alice",
                "text": "hi",
                "offset": 1,
            }
            assert (await client.expect("message"))["offset"] == 2
        await carol.expect_nothing()


async def test_a_message_without_id_is_not_acknowledged() -> None:
    async with person(create(), "alice", "/ws/general") as alice:
        await alice.expect("joined")
        await alice.send(say("general", "hi"))
        await alice.expect("message", text="hi")
        await alice.expect_nothing()


async def test_only_messages_take_offsets_and_each_room_counts_its_own() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        one, two = await alice.request(join("one")), await alice.request(join("two"))
        assert one["epoch"] != two["epoch"]
        await alice.request(say("one", "first"))
        await bob.request(join("one"))
        await bob.request({"type": "status", "status": "busy"})
        await bob.close()
        assert (await alice.request(say("one", "second")))["offset"] == 2
        assert (await alice.request(say("two", "first")))["offset"] == 1


# Coming back.


async def test_who_returns_gets_what_was_missed_behind_the_joined_and_then_the_live_ones() -> None:
    app = create()
    async with person(app, "alice") as alice:
        await alice.request(join("general"))
        async with person(app, "bob") as bob:
            await bob.request(join("general"))
            await alice.request(say("general", "one"))
            seen = await bob.expect("message")
        for text in ("two", "three"):
            await alice.request(say("general", text))
        async with person(app, "bob") as bob:
            epoch = (await alice.request(join("general")))["epoch"]
            await bob.send(join("general", offset=seen["offset"], epoch=epoch), id="back")
            await alice.request(say("general", "four"))
            await bob.request({"type": "ping"})
            assert types(bob) == ["joined", "message", "message", "message"]
            joined = bob.frames[0]
            assert (joined["ref"], joined["recovered"]) == ("back", True)
            assert joined["offset"] in {3, 4}
            assert offsets(bob) == [2, 3, 4]
            assert [frame["text"] for frame in bob.frames[1:]] == ["two", "three", "four"]
            assert all("ref" not in frame for frame in bob.frames[1:])


async def test_no_live_message_comes_before_the_joined() -> None:
    app = create(rate=1000, burst=1000)
    async with person(app, "alice") as alice:
        await alice.request(join("general"))
        for _ in range(20):
            async with person(app, "bob") as bob:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(alice.request(say("general", "live")))
                    tasks.create_task(bob.send(join("general")))
                    tasks.create_task(alice.request(say("general", "live")))
                await bob.request({"type": "ping"})
                assert types(bob)[0] == "joined"
                start = bob.frames[0]["offset"]
                assert offsets(bob) == list(range(start + 1, start + 1 + len(offsets(bob))))


@pytest.mark.parametrize(
    "since",
    [
        {"offset": 1, "epoch": "another"},
        {"offset": 99},
        {"offset": 3},
    ],
)
async def test_another_epoch_and_the_future_recover_nothing_and_the_present_is_recovered(since: Any) -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        epoch = (await alice.request(join("general")))["epoch"]
        for text in "123":
            await alice.request(say("general", text))
        joined = await bob.request(join("general", **({"epoch": epoch} | since)))
        assert joined["offset"] == 3
        assert joined["recovered"] is (since == {"offset": 3})
        await bob.expect_nothing()


@pytest.mark.parametrize("missed, recovered", [(300, True), (301, False)])
async def test_at_most_300_messages_are_replayed(missed: int, recovered: bool) -> None:
    app = create(rate=1000, burst=1000)
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        epoch = (await alice.request(join("general")))["epoch"]
        for _ in range(missed):
            await alice.request(say("general", "x"))
        joined = await bob.request(join("general", offset=0, epoch=epoch))
        assert (joined["offset"], joined["recovered"]) == (missed, recovered)
        await bob.request({"type": "ping"})
        assert offsets(bob) == (list(range(1, missed + 1)) if recovered else [])


async def test_a_room_keeps_1_000_messages() -> None:
    chat = create_chat(Settings(secret=SECRET), Censor(()))
    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app):
        room = chat.rooms["general"]
        for number in range(1001):
            said = Said(room="general", user="alice", text=str(number), at=datetime.now(UTC))
            await room.publish(said)
        kept = await room.history(limit=2000)
    assert [message.model_dump()["text"] for message in kept] == [str(number) for number in range(1, 1001)]


async def test_messages_are_forgotten_after_an_hour_and_their_absence_is_not_hidden() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        epoch = (await alice.request(join("general")))["epoch"]
        await alice.request(say("general", "old"))
        await asyncio.sleep(3601)
        joined = await bob.request(join("general", offset=0, epoch=epoch))
        assert joined["recovered"] is False
        await bob.expect_nothing()


@pytest.mark.parametrize(
    "since, loc",
    [
        ({"offset": 1}, ["since", "epoch"]),
        ({"offset": -1, "epoch": "e"}, ["since", "offset"]),
        ({"offset": "1", "epoch": "e"}, ["since", "offset"]),
        ({"offset": 2**53 + 1, "epoch": "e"}, ["since", "offset"]),
        ({"offset": 1, "epoch": ""}, ["since", "epoch"]),
        ({"offset": 1, "epoch": "e", "more": 1}, ["since", "?"]),
    ],
)
async def test_a_position_that_is_none_is_an_invalid_message(since: Any, loc: list[str]) -> None:
    async with person(create(), "alice") as alice:
        answer = await alice.request(join("general", **since))
        assert (answer["code"], answer["errors"][0]["loc"]) == ("invalid_message", loc)


# Apply me once.


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


# Names and numbers.


@pytest.mark.parametrize("room", ["a", "0", "a-b-9", "x" * 64])
async def test_room_names(room: str) -> None:
    async with person(create(), "alice") as alice:
        assert (await alice.request(join(room)))["room"] == room


@pytest.mark.parametrize("room", ["", "-a", "A", "a_b", "ä", "a b", "a\n", "x" * 65, "__proto__", None, 1])
async def test_what_is_no_room_name_is_an_invalid_message(room: Any) -> None:
    async with person(create(), "alice") as alice:
        answer = await alice.request({"type": "join", "room": room})
        assert (answer["code"], answer["errors"][0]["loc"]) == ("invalid_message", ["room"])


@pytest.mark.parametrize("text, valid", [("", False), ("x", True), ("ä" * 4096, True), ("x" * 4097, False)])
async def test_a_text_has_1_to_4096_characters(text: str, valid: bool) -> None:
    async with person(create(), "alice", "/ws/general") as alice:
        answer = await alice.request(say("general", text))
        assert answer["type"] == ("ack" if valid else "error")
        if not valid:
            assert (answer["code"], answer["errors"][0]["loc"]) == ("invalid_message", ["text"])


async def test_a_big_room_lists_200_members_counts_all_and_announces_none_above() -> None:
    app = create(connections_per_address=1000)
    members = [person(app, f"user-{number:03}") for number in range(203)]
    joined = {}
    for number, member in enumerate(members, 1):
        await member.connect()
        joined[number] = await member.request(join("big"))
        assert (joined[number]["count"], len(joined[number]["members"])) == (number, min(number, 200))
    await members[0].expect("member_joined", user="user-199")
    assert [frame for frame in members[0].frames if frame["user"] > "user-199"] == []
    members[0].frames.clear()
    # 203, 202 and 201 leave in silence; of 200 and less the departures are announced.
    for member in reversed(members[199:]):
        await member.close()
    assert [frame["user"] for frame in members[0].frames] == ["user-199"]
    for member in members[:199]:
        await member.close()


# The path.


async def test_a_path_with_a_room_joins_at_once() -> None:
    app = create()
    async with person(app, "alice", "/ws/general") as alice:
        joined = await alice.expect("joined")
        assert "ref" not in joined
        assert (joined["room"], joined["count"], joined["recovered"]) == ("general", 1, False)
        async with person(app, "bob", "/ws/general") as bob:
            assert (await bob.expect("joined"))["count"] == 2
            await alice.expect("member_joined", user="bob")
            await bob.send(say("general", "hi"))
            await alice.expect("message", text="hi")


@pytest.mark.parametrize("name", ["Upper", "-a", "a_b", "x" * 65, "a.b", "%C3%A4"])
async def test_a_path_with_a_name_that_is_none_is_not_found(name: str) -> None:
    with pytest.raises(Refused) as caught:
        async with person(create(), "alice", f"/ws/{name}"):
            pass
    assert caught.value.status == 404
