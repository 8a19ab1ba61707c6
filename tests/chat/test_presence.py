"""The status of users."""

from typing import Any

import pytest

from tests.chat.people import create, join, person


def status(value: Any) -> dict[str, Any]:
    return {"type": "status", "status": value}


async def test_a_status_reaches_those_who_share_a_room_once_and_the_users_other_connections() -> None:
    app = create()
    async with (
        person(app, "alice") as alice,
        person(app, "alice") as tab,
        person(app, "bob") as bob,
        person(app, "carol") as carol,
    ):
        for client in (alice, bob):
            for room in ("one", "two"):
                await client.request(join(room))
        await carol.request(join("three"))
        alice.frames.clear()
        assert await alice.request(status("away")) == {"type": "ack", "ref": 3}
        for client in (bob, tab):
            assert await client.expect("status") == {"type": "status", "user": "alice", "status": "away"}
            await client.expect_nothing()
        await carol.expect_nothing()
        await alice.expect_nothing()
        assert (await carol.request(join("one")))["members"] == [
            {"user": "alice", "status": "away"},
            {"user": "bob", "status": "online"},
            {"user": "carol", "status": "online"},
        ]


async def test_a_status_that_is_set_again_is_not_told_again() -> None:
    app = create()
    async with person(app, "alice", "/ws/general") as alice, person(app, "bob", "/ws/general") as bob:
        await bob.expect("joined")
        await alice.request(status("busy"))
        await alice.request(status("busy"))
        await bob.expect("status", status="busy")
        await bob.expect_nothing()
        await alice.request(status("online"))
        await bob.expect("status", status="online")


async def test_the_status_lasts_as_long_as_any_connection_and_is_online_after_the_last() -> None:
    app = create()
    async with person(app, "bob") as bob:
        await bob.request(join("general"))
        async with person(app, "alice") as alice:
            await alice.request(join("general"))
            await alice.request(status("away"))
            async with person(app, "alice") as tab:
                await alice.close()
                assert {"user": "alice", "status": "away"} in (await tab.request(join("general")))["members"]
        async with person(app, "alice") as alice:
            assert {"user": "alice", "status": "online"} in (await alice.request(join("general")))["members"]


@pytest.mark.parametrize("value", ["gone", "", "Online", None, 1])
async def test_what_is_no_status_is_an_invalid_message(value: Any) -> None:
    async with person(create(), "alice") as alice:
        answer = await alice.request(status(value))
        assert (answer["code"], answer["errors"][0]["loc"]) == ("invalid_message", ["status"])
