"""Coming back to a room: what was missed, and what cannot be told any more."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from examples.chat.app import create_chat
from examples.chat.settings import Settings
from protocol.testing import Client
from protocol.transforms import Censor
from schemas.rooms import Said
from tests.chat.people import SECRET, create, join, offsets, person, say, types
from tests.served import served


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
    app = served(chat)
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
