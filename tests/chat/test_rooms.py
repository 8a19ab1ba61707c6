"""Joining, leaving and talking in rooms."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protocol.testing import Refused
from tests.chat.people import create, join, person, say


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
