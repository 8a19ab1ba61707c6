"""Each server of the corpus by hand: its bug is there, and its correct twin behaves."""

import asyncio
import logging
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from protocol import MessageProtocol
from protocol.asyncapi import document
from protocol.asyncapi.served import sockets
from protocol.testing import Client, settle
from tests.fuzz.planted import (
    answer_to_another,
    average_of_nothing,
    blank_text,
    counted_for_ever,
    counted_in_bytes,
    double_reply,
    drafts_pile_up,
    extra_ignored,
    ghost_member,
    gone_without_goodbye,
    heard_next_door,
    heard_twice,
    id_zero,
    leave_that_stays,
    lock_never_released,
    lost_update,
    missing_reply,
    never_forgiven,
    null_for_nothing,
    outsider_speaks,
    overtaking_answer,
    reference_of_before,
    said_in_background,
    seat_taken_twice,
    share_of_nothing,
    slowest_decides,
    stranger_reads,
    ticker_left_behind,
    ticket_used_twice,
    too_long_is_cut,
    topic_survives,
    undeclared_close,
    undeclared_error,
    undeclared_reply,
)

INDEX = Path(__file__).parent / "planted" / "README.md"

both = pytest.mark.parametrize("bug", [True, False], ids=["bug", "twin"])


@pytest.fixture
def declared() -> None:
    """These servers send what their documents do not declare: that is the bug of some of them."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Handlers that fail are logged, and here they have to."""
    with caplog.at_level(logging.CRITICAL):
        yield


def test_the_index_lists_every_server_with_its_check_and_its_kind() -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (yes)? *\|", INDEX.read_text(encoding="utf-8"), re.MULTILINE
    )
    names = {path.stem for path in INDEX.parent.glob("*.py")}
    assert {name for name, _, _ in listed} == names
    for name, check, plain in listed:
        module = import_module(f"tests.fuzz.planted.{name}")
        assert (module.CHECK, hasattr(module, "DOCUMENT")) == (check, plain == "yes")


class RawClient(Client):
    """A client that takes what is no JSON."""

    def _arrived(self, frame: str | bytes) -> None:
        self.texts = [*getattr(self, "texts", []), str(frame)]


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
        await leaver.expect("came", room="a")
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


@both
async def test_what_is_paid_in_at_once_is_lost(bug: bool) -> None:
    app = lost_update.create_app(bug)
    async with Client(app) as one, Client(app) as other:
        for client in (one, other):
            await client.send({"type": "pay_in", "amount": 5}, id=1)
        await one.expect("balance", amount=5, within=1)
        await other.expect("balance", amount=5 if bug else 10, within=1)


@both
async def test_after_a_refusal_the_next_one_waits_for_ever(bug: bool) -> None:
    app = lock_never_released.create_app(bug)
    async with Client(app) as one, Client(app) as other:
        assert (await one.request({"type": "take", "count": 1}))["count"] == 2
        assert (await one.request({"type": "take", "count": 3}))["code"] == "not_enough"
        await other.send({"type": "take", "count": 2}, id=1)
        if not bug:
            await other.expect("left", count=0)
        await other.expect_nothing()


@both
async def test_what_is_said_later_is_heard_first(bug: bool) -> None:
    async with Client(said_in_background.create_app(bug)) as client:
        await client.request({"type": "join", "room": "a"})
        for text in ("1", "2", "3", "4"):
            await client.send({"type": "say", "room": "a", "text": text})
        heard = [(await client.expect("say"))["text"] for _ in range(4)]
        assert (heard == ["1", "2", "3", "4"]) is not bug


@both
async def test_a_ticker_outlives_its_connection(bug: bool) -> None:
    app = ticker_left_behind.create_app(bug)
    before = asyncio.all_tasks()
    async with Client(app) as client:
        assert (await client.request({"type": "count"}))["count"] == 0
        await asyncio.sleep(7200)
        assert (await client.request({"type": "count"}))["count"] == 2
    await settle()
    assert len(asyncio.all_tasks() - before) == (1 if bug else 0)


@both
async def test_drafts_pile_up(bug: bool) -> None:
    app = drafts_pile_up.create_app(bug)
    held = []
    for _ in range(3):
        async with Client(app) as client:
            for text in ("one", "two"):
                await client.request({"type": "draft", "text": text})
        held.append(len(app.state.drafts))
    assert held == ([1, 2, 3] if bug else [0, 0, 0])


@both
async def test_a_topic_is_there_when_everybody_has_left(bug: bool) -> None:
    app = topic_survives.create_app(bug)
    async with Client(app) as one:
        assert (await one.request({"type": "set_topic", "room": "a", "topic": "x"}))["code"] == "not_a_member"
        assert (await one.request({"type": "join", "room": "a"}))["topic"] == ""
        await one.request({"type": "set_topic", "room": "a", "topic": "x"})
        async with Client(app) as other:
            assert (await other.request({"type": "join", "room": "a"}))["topic"] == "x"
    async with Client(app) as late:
        assert (await late.request({"type": "join", "room": "a"}))["topic"] == ("x" if bug else "")


@both
async def test_a_refusal_has_a_code_that_is_not_declared(bug: bool) -> None:
    app = undeclared_error.create_app(bug)
    async with Client(app) as client:
        assert (await client.request({"type": "order", "pieces": 12}))["pieces"] == 12
        assert (await client.request({"type": "order", "pieces": 13}))["code"] == "sold_out"
    (protocol,) = (socket.protocol for socket in sockets(app))
    assert isinstance(protocol, MessageProtocol)
    channel = document(app, protocol)["channels"]["ws"]
    assert ("sold_out" in channel["x-error-codes"]) is not bug


@both
async def test_a_name_of_more_than_twenty_bytes_is_refused(bug: bool) -> None:
    async with Client(counted_in_bytes.create_app(bug)) as client:
        for name in ("e" * 20, "é" * 10):
            assert (await client.request({"type": "rename", "name": name}))["type"] == "ack"
        answer = await client.request({"type": "rename", "name": "é" * 11})
        assert answer.get("code") == ("invalid_message" if bug else None)


@both
async def test_who_is_not_in_a_room_reads_what_was_said_there(bug: bool) -> None:
    app = stranger_reads.create_app(bug)
    async with Client(app) as member, Client(app) as stranger:
        await member.request({"type": "join", "room": "a"})
        await member.request({"type": "say", "room": "a", "text": "psst"})
        answer = await stranger.request({"type": "peek", "room": "a"})
        if bug:
            await stranger.expect("say", text="psst")
        else:
            assert answer["code"] == "not_a_member"
        await stranger.expect_nothing()


@both
@pytest.mark.parametrize("id", [0, ""])
async def test_ids_that_are_false_are_not_answered(bug: bool, id: int | str) -> None:
    async with Client(id_zero.create_app(bug)) as client:
        assert (await client.request({"type": "upper", "text": "a"}))["text"] == "A"
        await client.send({"type": "upper", "text": "b"}, id=id)
        assert ("ref" in await client.expect("uppered", text="B")) is not bug


@both
async def test_the_average_of_nothing_is_no_json(bug: bool) -> None:
    async with RawClient(average_of_nothing.create_app(bug)) as client:
        await client.send({"type": "average"}, id=1)
        await settle()
        (frame,) = client.texts
        assert ("NaN" in frame) is bug
        assert ("no_values" in frame) is not bug


@both
async def test_who_quits_sees_a_crash(bug: bool) -> None:
    async with Client(gone_without_goodbye.create_app(bug)) as client:
        assert (await client.request({"type": "echo", "text": "a"}))["text"] == "a"
        await client.send({"type": "quit"})
        await client.expect_close(1006 if bug else 1000)


@both
async def test_who_loses_is_closed_with_a_code_that_is_not_declared(bug: bool) -> None:
    async with Client(undeclared_close.create_app(bug)) as client:
        assert (await client.request({"type": "guess", "number": 7}))["right"] is True
        for number in (6, 8):
            assert (await client.request({"type": "guess", "number": number}))["right"] is False
        code, _ = await client.expect_close()
    declared = undeclared_close.DOCUMENT["channels"]["ws"]["x-close-codes"]
    assert (str(code) in declared) is not bug


@both
async def test_one_who_does_not_read_holds_up_the_others(bug: bool) -> None:
    app = slowest_decides.create_app(bug)
    async with Client(app) as one, Client(app) as slow:
        slow.pause()
        await one.send({"type": "tell", "text": "a"}, id=1)
        await one.send({"type": "tell", "text": "b"}, id=2)
        await settle()
        answers = [frame["ref"] for frame in one.frames if frame["type"] == "ack"]
        assert answers == ([] if bug else [1, 2])
        slow.resume()
        await one.expect("ack", ref=2)
        await slow.expect("told", text="b")


@both
async def test_a_member_that_is_not_declared_is_ignored(bug: bool) -> None:
    async with Client(extra_ignored.create_app(bug)) as client:
        assert (await client.request({"type": "note", "text": "a"}))["type"] == "ack"
        await client.send({"type": "note", "text": "a", "extra": 1})
        await client.expect("ack" if bug else "error")
        await client.send({"type": "note", "text": ""})
        await client.expect("error", code="invalid_message")


@both
async def test_a_text_that_is_too_long_is_cut(bug: bool) -> None:
    async with Client(too_long_is_cut.create_app(bug)) as client:
        assert (await client.request({"type": "save", "text": "a" * 20}))["text"] == "a" * 20
        await client.send({"type": "save", "text": "a" * 21})
        await client.expect("saved" if bug else "error")


@both
async def test_what_is_not_found_is_null(bug: bool) -> None:
    async with Client(null_for_nothing.create_app(bug)) as client:
        assert (await client.request({"type": "find", "thing": "bread"}))["shelf"] == 2
        answer = await client.request({"type": "find", "thing": "cheese"})
        assert answer == (
            {"type": "found", "shelf": None, "ref": 2} if bug else {"type": "missing", "ref": 2}
        )


@both
async def test_who_joins_twice_hears_twice(bug: bool) -> None:
    async with Client(heard_twice.create_app(bug)) as client:
        assert (await client.request({"type": "say", "room": "a", "text": "x"}))["code"] == "not_a_member"
        for _ in range(2):
            await client.request({"type": "join", "room": "a"})
        await client.request({"type": "say", "room": "a", "text": "x"})
        for _ in range(2 if bug else 1):
            await client.expect("said", text="x", offset=1)
        await client.expect_nothing()


@both
async def test_a_broken_frame_spoils_all_that_follow(bug: bool) -> None:
    async with Client(never_forgiven.create_app(bug)) as client:
        assert (await client.request({"type": "note", "text": "a"}))["type"] == "ack"
        await client.send("{")
        await client.expect("error", code="invalid_message")
        for _ in range(2):
            assert (await client.request({"type": "note", "text": "a"}))["type"] == (
                "error" if bug else "ack"
            )
        assert (await client.request({"type": "ping"}))["type"] == "pong"


@both
async def test_an_answer_goes_to_who_asked_last(bug: bool) -> None:
    app = answer_to_another.create_app(bug)
    async with Client(app) as one, Client(app) as other:
        await one.send({"type": "look_up", "word": "a"}, id=1)
        await other.send({"type": "look_up", "word": "b"}, id=2)
        await other.expect("meaning", word="b", ref=2, within=1)
        await (other if bug else one).expect("meaning", word="a", ref=1)


@both
async def test_an_easy_question_is_answered_first(bug: bool) -> None:
    async with Client(overtaking_answer.create_app(bug)) as client:
        await client.send({"type": "ask", "hard": True}, id=1)
        await client.send({"type": "ask", "hard": False}, id=2)
        await asyncio.sleep(1)
        assert [frame["ref"] for frame in client.frames] == ([2, 1] if bug else [1, 2])


@both
async def test_who_vanishes_is_counted_for_ever(bug: bool) -> None:
    app = counted_for_ever.create_app(bug)
    async with Client(app) as one:
        one.drop()
    for _ in range(2):
        async with Client(app) as other:
            await settle()
            assert other.frames == [{"event": "online", "count": 2 if bug else 1}]


@both
async def test_who_uses_a_ticket_twice_sees_a_crash(bug: bool) -> None:
    client = Client(ticket_used_twice.create_app(bug))
    await client.connect()
    assert (await client.request({"type": "use", "ticket": "x"}))["code"] == "no_such_ticket"
    ticket = (await client.request({"type": "buy"}))["ticket"]
    assert (await client.request({"type": "use", "ticket": ticket}))["type"] == "welcome"
    if bug:
        await client.send({"type": "use", "ticket": ticket})
        await client.expect_close(1006)
        with pytest.raises(KeyError):
            await client.close()
    else:
        assert (await client.request({"type": "use", "ticket": ticket}))["code"] == "no_such_ticket"
        await client.close()


@both
async def test_what_is_said_in_one_room_is_heard_in_another(bug: bool) -> None:
    app = heard_next_door.create_app(bug)
    async with Client(app, "/ws/a") as one, Client(app, "/ws/b") as other:
        await one.send({"type": "say", "text": "x"})
        await one.expect("said", room="a", text="x")
        if bug:
            await other.expect("said", room="a", text="x")
        await other.expect_nothing()
