"""Each server of the corpus by hand: its bug is there, and its correct twin behaves."""

import logging
from collections.abc import Iterator

import pytest

from protocol.testing import Client
from tests.fuzz.planted import (
    blank_text,
    double_reply,
    ghost_member,
    leave_that_stays,
    missing_reply,
    outsider_speaks,
    reference_of_before,
    seat_taken_twice,
    share_of_nothing,
    undeclared_reply,
)

both = pytest.mark.parametrize("bug", [True, False], ids=["bug", "twin"])


@pytest.fixture
def declared() -> None:
    """These servers send what their documents do not declare: that is the bug of some of them."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Handlers that fail are logged, and here they have to."""
    with caplog.at_level(logging.CRITICAL):
        yield


@both
async def test_an_empty_pot_is_shared_out(bug: bool) -> None:
    async with Client(share_of_nothing.create_app(bug)) as client:
        assert (await client.request({"type": "share"}))["code"] == "nothing_to_share"
        await client.request({"type": "open"})
        answer = await client.request({"type": "share"})
        assert answer["code"] == ("internal_error" if bug else "nothing_to_share")
        await client.request({"type": "give", "amount": 3})
        assert (await client.request({"type": "share"}))["each"] == 3


@both
async def test_a_text_of_white_space_has_no_first_word(bug: bool) -> None:
    async with Client(blank_text.create_app(bug)) as client:
        assert (await client.request({"type": "command", "line": "go on"}))["verb"] == "go"
        answer = await client.request({"type": "command", "line": " \t"})
        assert answer.get("code") == "internal_error" if bug else answer["verb"] == ""


@both
async def test_who_vanishes_stays_in_the_list(bug: bool) -> None:
    app = ghost_member.create_app(bug)
    async with Client(app) as one:
        assert (await one.request({"type": "join", "room": "a"}))["others"] == 0
        one.drop()
    async with Client(app) as other:
        assert (await other.request({"type": "join", "room": "a"}))["others"] == (1 if bug else 0)
        await other.request({"type": "leave", "room": "a"})
        assert (await other.request({"type": "join", "room": "a"}))["others"] == (1 if bug else 0)


@both
async def test_who_is_not_in_a_room_speaks_there(bug: bool) -> None:
    app = outsider_speaks.create_app(bug)
    async with Client(app) as member, Client(app) as outsider:
        await member.request({"type": "join", "room": "a"})
        answer = await outsider.request({"type": "say", "room": "a", "text": "hi"})
        if bug:
            await member.expect("say", room="a", text="hi")
        else:
            assert answer["code"] == "not_a_member"
        await member.expect_nothing()


@both
async def test_who_has_left_still_hears(bug: bool) -> None:
    app = leave_that_stays.create_app(bug)
    async with Client(app) as leaver, Client(app) as member:
        for client in (leaver, member):
            await client.request({"type": "join", "room": "a"})
        assert (await leaver.request({"type": "leave", "room": "a"}))["type"] == "ack"
        await member.request({"type": "say", "room": "a", "text": "hi"})
        await member.expect("say", text="hi")
        if bug:
            await leaver.expect("say", text="hi")
        await leaver.expect_nothing()


@both
async def test_two_reserve_one_seat_at_once(bug: bool) -> None:
    app = seat_taken_twice.create_app(bug)
    async with Client(app) as one, Client(app) as other:
        for client in (one, other):
            await client.send({"type": "reserve", "seat": 2}, id=1)
        await one.expect("reserved", seat=2, within=1)
        await other.expect("reserved" if bug else "error", within=1)
        assert (await other.request({"type": "reserve", "seat": 2}))["code"] == "seat_taken"


@both
async def test_a_bid_gets_an_answer_that_is_not_declared(bug: bool) -> None:
    async with Client(undeclared_reply.create_app(bug)) as client:
        assert (await client.request({"type": "bid", "amount": 1000}))["type"] == "bid_taken"
        answer = await client.request({"type": "bid", "amount": 1001})
        assert answer["type"] == ("bid_refused" if bug else "error")


@both
async def test_a_turn_to_the_west_is_not_answered(bug: bool) -> None:
    async with Client(missing_reply.create_app(bug)) as client:
        for degrees, to in enumerate(("north", "east", "south")):
            assert (await client.request({"type": "turn", "to": to}))["degrees"] == 90 * degrees
        await client.send({"type": "turn", "to": "west"}, id="w")
        if not bug:
            await client.expect("turned", degrees=270, ref="w")
        await client.expect_nothing()


@both
async def test_a_withdrawal_that_goes_too_far_is_answered_twice(bug: bool) -> None:
    async with Client(double_reply.create_app(bug)) as client:
        assert (await client.request({"type": "withdraw", "amount": 60}))["amount"] == 40
        await client.send({"type": "withdraw", "amount": 41}, id="w")
        await client.expect("error", code="too_much", ref="w")
        if bug:
            await client.expect("balance", amount=40, ref="w")
        await client.expect_nothing()


@both
async def test_an_echo_without_an_id_gets_the_last_one(bug: bool) -> None:
    async with Client(reference_of_before.create_app(bug)) as client:
        await client.send({"type": "echo", "text": "one"}, id=0)
        await client.expect("echoed", text="one", ref=0)
        await client.send({"type": "echo", "text": "two"})
        assert ("ref" in await client.expect("echoed", text="two")) is bug
