"""What the checks say of single runs: what looks like a bug and is none."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.arena import LocalArena
from protocol.fuzzing.checks.messages import negative_data_rejection, request_reply
from protocol.fuzzing.checks.newcomers import clean_room
from protocol.fuzzing.checks.rooms import isolation, order
from protocol.fuzzing.checks.state import serialisability
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.run import Run
from protocol.testing.steps import (
    Burst,
    Close,
    Connect,
    Drop,
    Pause,
    Reference,
    Resume,
    Send,
    Step,
    Wait,
    sends_of,
)
from protocol.testing.transcript import Barrier, Exchange
from tests.fuzz import wrong_chat
from tests.fuzz.plain import COUNT, ROOM, TEXT, document

SAID = {"room": ROOM, "text": TEXT}
DOCUMENT = document(
    {"join": ({"room": ROOM}, ("joined",)), "say": (SAID, ("ack",)), "add": ({"count": COUNT}, ("sum",))},
    {"joined": {"room": ROOM, "members": COUNT}, "said": SAID, "ack": {}, "sum": {"count": COUNT}},
)
DOCUMENT["channels"]["ws"]["address"] = "/ws/{room}"
CONTRACT = Contract.of_document(DOCUMENT)


def frame(type: str, **members: Any) -> str:
    return json.dumps({"type": type, **members}, separators=(",", ":"))


def run(*exchanges: Exchange, newcomers: int | None = None, **options: Any) -> Run:
    return Run(CONTRACT, exchanges, newcomers=len(exchanges) if newcomers is None else newcomers, **options)


def test_an_answer_to_a_valid_message_is_none_to_a_broken_one_with_the_same_id() -> None:
    valid, broken = frame("add", count=1, id=1), frame("add", count=-1, id=1)
    answers = (frame("sum", count=1, ref=1), frame("error", code="invalid_message", ref=1))
    for sends in ((valid, broken), (broken, valid)):
        burst = Burst(tuple(Send(0, data) for data in sends))
        found = run(Exchange(Connect(0)), Exchange(burst, {0: answers}))
        assert negative_data_rejection.find(found) is None
        assert request_reply.find(found) is None
    one_by_one = run(
        Exchange(Connect(0)),
        Exchange(Send(0, broken), {0: answers[1:]}),
        Exchange(Send(0, valid), {0: answers[:1]}),
    )
    assert negative_data_rejection.find(one_by_one) is None
    taken = run(Exchange(Connect(0)), Exchange(Send(0, broken), {0: answers[:1]}))
    assert negative_data_rejection.find(taken) is not None


def visited(*before: Exchange, first: tuple[str, ...]) -> Run:
    """Somebody joins a room, leaves, and comes again: now it is told that two are there."""
    join = Send(0, frame("join", room="a", id=1))
    return run(
        Exchange(Connect(0)),
        *before,
        Exchange(join, {0: first}),
        Exchange(Close(0)),
        Exchange(Connect(0)),
        Exchange(join, {0: (frame("joined", room="a", members=2, ref=1),)}),
        newcomers=3 + len(before),
    )


def test_who_did_not_read_has_not_seen_the_room_as_it_was_at_first() -> None:
    assert clean_room.find(visited(first=(frame("joined", room="a", members=1, ref=1),))) is not None
    assert clean_room.find(visited(Exchange(Pause(0)), first=())) is None
    assert clean_room.find(visited(Exchange(Pause(0)), Exchange(Resume(0)), first=())) is None


def test_who_is_not_missed_yet_is_no_ghost() -> None:
    hasty = visited(first=(frame("joined", room="a", members=1, ref=1),))
    played: list[tuple[Step, ...]] = []

    def again(members: int) -> Any:
        def play(steps: tuple[Step, ...]) -> Run:
            played.append(steps)
            answers = iter((1, members))
            found = [
                Exchange(step, {0: (frame("joined", room="a", members=next(answers), ref=1),)})
                if isinstance(step, Send)
                else Exchange(step)
                for step in steps
            ]
            return run(*found)

        return play

    steps = tuple(exchange.step for exchange in hasty.exchanges)
    hasty.prompt, hasty.again = False, again(1)
    assert clean_room.find(hasty) is None
    assert played[-1] == (*steps[:3], Wait(1.0), *steps[3:])
    hasty.again = again(2)
    assert clean_room.find(hasty) is not None


ADD = Burst((Send(0, frame("add", count=1, id=1)), Send(1, frame("add", count=1, id=2))))


def added(*sums: int, after: tuple[Exchange, ...] = (), **options: Any) -> Run:
    received = {client: (frame("sum", count=sum, ref=client + 1),) for client, sum in enumerate(sums)}
    return run(Exchange(Connect(0)), Exchange(Connect(1)), Exchange(ADD, received), *after, **options)


def test_what_comes_late_once_makes_no_race() -> None:
    """Each order is tried more than once where time is real: there an answer may miss its step."""
    missed = iter([True])

    def again(steps: tuple[Step, ...]) -> Run:
        total, found = 0, []
        for step in steps:
            received = {}
            if isinstance(step, Send):
                total += 1
                late = step.client == 1 and next(missed, False)
                received = {} if late else {step.client: (frame("sum", count=total, ref=step.client + 1),)}
            found.append(Exchange(step, received))
        return run(*found)

    assert serialisability.find(added(1, 2, again=again, prompt=False)) is None


@pytest.mark.parametrize("counts_both", [True, False])
def test_what_comes_too_late_for_every_step_makes_no_race(counts_both: bool) -> None:
    """The second of two answers at once comes late, each time, and a step of its own is too short for it, too."""

    def again(steps: tuple[Step, ...]) -> Run:
        late: dict[int, tuple[str, ...]] = {}
        total, found = 0, []
        for step in steps:
            received: dict[int, tuple[str, ...]] = {}
            for send in sends_of(step):
                total += 1 if counts_both or isinstance(step, Send) or send.client == 0 else 0
                answer = {send.client: (frame("sum", count=total, ref=send.client + 1),)}
                if send.client == 0 and isinstance(step, Burst):
                    received |= answer
                else:
                    late |= answer
            if isinstance(step, Wait):
                received, late = late, {}
            found.append(Exchange(step, received))
        return run(*found)

    finding = serialisability.find(added(1, again=again, prompt=False))
    assert (finding is None) is counts_both


def test_what_refers_to_what_came_of_a_race_is_not_compared() -> None:
    refers = (Reference(("count",), "count"),)

    def again(steps: tuple[Step, ...]) -> Run:
        assert not any(isinstance(step, Send) and step.refers for step in steps)
        sums = iter((1, 2))
        return run(
            *(
                Exchange(step, {step.client: (frame("sum", count=next(sums), ref=step.client + 1),)})
                if isinstance(step, Send)
                else Exchange(step)
                for step in steps
            )
        )

    more = Exchange(Send(0, frame("add", count=2, id=3), refers), {0: (frame("sum", count=4, ref=3),)})
    assert serialisability.find(added(1, 2, after=(more,), again=again)) is None


def heard(path: str | None) -> Iterator[Exchange]:
    yield Exchange(Connect(0, path))
    yield Exchange(Connect(1, "/ws/b"))
    yield Exchange(Send(1, frame("say", room="b", text="x")), {0: (frame("said", room="b", text="x"),)})


def test_a_path_lets_its_client_into_the_room_that_it_names() -> None:
    assert isolation.find(run(*heard("/ws/b"))) is None
    finding = isolation.find(run(*heard("/ws/c")))
    assert finding is not None
    assert finding.detail.startswith("0 is not in 'b', and got ")


def test_what_is_about_a_room_and_for_everybody_is_named() -> None:
    rules = CONTRACT.room
    assert rules is not None
    exchange = Exchange(Connect(0), {0: (frame("said", room="b", text="x"),)})
    finding = isolation.find(run(exchange))
    assert finding is not None
    assert finding.detail.endswith(" (is that for everybody? --public said)")
    public = CONTRACT.with_rooms(replace(rules, public=frozenset({"said"})))
    assert isolation.find(Run(public, (exchange,), newcomers=1)) is None
    with pytest.raises(ConfigurationError, match=r"^No message 'sum' with a member 'room' is sent\.$"):
        CONTRACT.with_rooms(replace(rules, public=frozenset({"sum"})))


def test_any_request_that_is_answered_may_be_the_barrier() -> None:
    found = CONTRACT.with_barrier({"type": "add", "count": 1}).barrier
    assert found == Barrier({"type": "add", "count": 1}, "id", "ref")
    with pytest.raises(ConfigurationError, match="The barrier is no message that the server takes "):
        CONTRACT.with_barrier({"type": "add", "count": -1})
    with pytest.raises(ConfigurationError, match="A barrier is known by its id"):
        replace(CONTRACT, id=None).with_barrier({"type": "add", "count": 1})


def test_a_path_lets_nobody_into_a_room_in_whose_name_a_letter_of_it_stands() -> None:
    for room, value in (("main", "a"), ("room-12", "1"), ("lobby", "lob"), ("a1", "b")):
        talk = Exchange(Connect(0, f"/ws/{value}"), {0: (frame("said", room=room, text="x"),)})
        assert isolation.find(run(talk)) is not None
    for room, value in (("a:main", "a"), ("room1", "1"), ("room-12", "12"), ("xa-a", "a"), ("B_-2", "B_-2")):
        talk = Exchange(Connect(0, f"/ws/{value}"), {0: (frame("said", room=room, text="x"),)})
        assert isolation.find(run(talk)) is None


def test_what_is_refused_reaches_nobody_else() -> None:
    refusal = (frame("error", code="invalid_message"),)

    def told(text: str, *before: Exchange, hears: str = "secret") -> Run:
        broken = frame("say", room="a", text=text, more=1)
        heard = (frame("said", room="a", text=hears),)
        return run(
            Exchange(Connect(0)),
            Exchange(Connect(1)),
            *before,
            Exchange(Send(0, broken), {0: refusal, 1: heard}),
        )

    finding = negative_data_rejection.find(told("secret"))
    assert finding is not None
    assert finding.detail.endswith('reached 1: {"type":"said","room":"a","text":"secret"}')
    # What somebody has said before may come late, and so may what nobody has said.
    before = Exchange(Send(1, frame("say", room="a", text="secret")))
    assert negative_data_rejection.find(told("secret", before)) is None
    assert negative_data_rejection.find(told("secret", hears="another")) is None
    assert negative_data_rejection.find(told("said", hears="said")) is None


def test_newcomers_begin_where_the_program_ends_even_if_some_of_it_could_not_be_played() -> None:
    steps: tuple[Step, ...] = (Connect(0), Send(1, "{}"), Close(0), Connect(0), Close(0))
    arena = LocalArena(wrong_chat.create_app, Contract.of(wrong_chat.create_app()))
    played = arena.play(steps, 3)
    assert [exchange.step for exchange in played.exchanges] == [steps[0], *steps[2:]]
    assert played.newcomers == 2


def said(text: str, *heard: str) -> Exchange:
    return Exchange(
        Send(0, frame("say", room="a", text=text)),
        {0: tuple(frame("said", room="a", text=one) for one in heard)},
    )


def test_what_was_made_of_another_text_is_not_taken_for_what_is_said_later() -> None:
    """The server answers in capitals: "b" is heard as "B", which is also said, after "A"."""
    assert order.find(run(Exchange(Connect(0)), said("a", "A"), said("B", "B"), said("A", "A"))) is None
    burst = Burst(tuple(Send(0, frame("say", room="a", text=text)) for text in ("b", "C", "B")))
    heard = {0: tuple(frame("said", room="a", text=text) for text in ("B", "C", "B"))}
    assert order.find(run(Exchange(Connect(0)), Exchange(burst, heard))) is None
    turned = {0: tuple(frame("said", room="a", text=text) for text in ("b", "B", "C"))}
    assert order.find(run(Exchange(Connect(0)), Exchange(burst, turned))) is not None


@pytest.mark.parametrize(
    "at, is_learnt",
    [
        ((0.25, 3.5, 3.75), True),  # another clock
        ((time.time(), time.time(), time.time()), True),
        ((int(time.time() * 1000), int(time.time() * 1000) + 5, int(time.time() * 1000) + 10), True),
        ((7, 3, 9), True),  # chance
        ((1, 2, 3), False),  # what is left of each play
        ((5, 5, 5), False),
        ((True, False, True), False),
        ((1, "a", 2), False),
    ],
)
def test_numbers_that_are_otherwise_each_time_are_learnt_and_counts_are_not(
    at: tuple[object, ...], is_learnt: bool
) -> None:
    values = iter(at)

    def again(steps: tuple[Step, ...]) -> Run:
        return Run(contract, (Exchange(steps[0], {0: (frame("stamp", at=next(values)),)}),), newcomers=1)

    contract = Contract.of_document(DOCUMENT)
    assert Run(contract, (), newcomers=0, again=again).learns((Connect(0),)) is is_learnt
    assert ("at" in contract.varying) is is_learnt


def test_what_is_told_late_of_others_is_not_what_a_newcomer_misses() -> None:
    join, gone = Send(0, frame("join", room="a")), frame("said", room="b", text="1 is gone")
    joined = frame("joined", room="a", members=1)
    exchanges = (
        Exchange(Connect(0)), Exchange(Connect(1)), Exchange(Drop(1)), Exchange(join, {0: (gone, joined)}),
        Exchange(Close(0)), Exchange(Connect(0)), Exchange(join, {0: (joined,)}),
    )  # fmt: skip
    assert clean_room.find(run(*exchanges, newcomers=5, prompt=False)) is None
    alone = (exchanges[0], *exchanges[3:])
    assert clean_room.find(run(*alone, newcomers=3, prompt=False)) is not None
    assert clean_room.find(run(*exchanges, newcomers=5)) is not None
