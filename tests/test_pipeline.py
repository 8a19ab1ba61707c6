import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from protocol import (
    JSON,
    Envelope,
    LocalProtocolError,
    Message,
    MessageProtocol,
    Rate,
    RateLimited,
    Reject,
    UnknownType,
)
from protocol.outbox import Frame
from protocol.pipeline import Failure, Limits, Pipeline, Route, Stages
from protocol.registry import Registry
from protocol.types import Ref


class Say(Message, type="say"):
    text: str


class Shout(Message, type="shout"):
    text: str


class Tick(Message, type="tick", slow="latest", slow_key="symbol"):
    symbol: str


def pipeline(
    *,
    route: Route | None = None,
    stages: Stages | None = None,
    envelope: Envelope | None = None,
    rate_limit: Rate | None = None,
) -> Pipeline:
    envelope = Envelope() if envelope is None else envelope
    return Pipeline(
        Registry([Say, Shout], [Say, Shout, Tick], envelope),
        JSON,
        routes={Say: Route() if route is None else route, Shout: Route(free=True)},
        stages={} if stages is None else {Say: stages},
        rate_limit=rate_limit,
    )


def sent(frame: Frame | None) -> Any:
    assert frame is not None
    return orjson.loads(frame.payload)


# Transforms.


def test_inbound_transforms_run_in_order_and_may_change_the_type() -> None:
    route = Route(
        transforms=(
            lambda message: message.replace(text=message.text + "!"),
            lambda message: Shout(text=message.text),
        )
    )
    assert pipeline(route=route).inbound(Say(text="hi")) == Shout(text="hi!")


def test_a_dropped_message_meets_no_further_transform() -> None:
    def never(*args: Any) -> BaseModel:
        raise AssertionError

    stages = Stages(shared=(lambda message: None, never), personal=(lambda message, to: None, never))
    line = pipeline(route=Route(transforms=(lambda message: None, never)), stages=stages)
    assert line.inbound(Say(text="hi")) is None
    assert line.outbound(Say(text="hi")) is None
    assert line.personal(Say(text="hi"), object()) is None


def test_what_a_transform_raises_passes_through() -> None:
    def refuse(message: Say) -> BaseModel:
        raise Reject("too_loud")

    with pytest.raises(Reject):
        pipeline(route=Route(transforms=(refuse,))).inbound(Say(text="hi"))
    with pytest.raises(ValidationError):
        pipeline(route=Route(transforms=(lambda message: message.replace(text=1),))).inbound(Say(text="hi"))


def test_a_transform_that_makes_something_else_is_at_fault() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        pipeline(route=Route(transforms=(lambda message: Tick(symbol="x"),))).inbound(Say(text="hi"))
    assert str(caught.value) == "A transform made Tick of an inbound message, which is no inbound message."


def test_personal_transforms_see_the_receiver() -> None:
    line = pipeline(stages=Stages(personal=(lambda message, to: message.replace(text=to),)))
    assert (line.is_personal("say"), line.is_personal("tick"), line.is_personal("ack")) == (
        True,
        False,
        False,
    )
    assert line.personal(Say(text="hi"), "bob") == Say(text="bob")


# Frames.


def test_a_frame_has_its_envelope_behind_the_body() -> None:
    line = pipeline()
    assert line.frame(Say(text="hi")).payload == b'{"type":"say","text":"hi"}'
    assert (
        line.frame(Say(text="hi"), ref=7, offset=3).payload
        == b'{"type":"say","text":"hi","ref":7,"offset":3}'
    )
    assert line.frame(Say(text="hi"), ref="").payload == b'{"type":"say","text":"hi","ref":""}'


def test_a_removed_envelope_is_not_written() -> None:
    line = pipeline(
        envelope=Envelope(id=None, ref=None, offset=None, ack=None, error=None, ping=None, pong=None)
    )
    assert line.frame(Say(text="hi"), ref=7, offset=3).payload == b'{"type":"say","text":"hi"}'
    assert (line.ack(1), line.error(Failure("x", "y"), 1)) == (None, None)


def test_a_frame_knows_what_a_slow_consumer_loses() -> None:
    frame = pipeline().frame(Tick(symbol="x"))
    assert (frame.type, frame.slow.policy, frame.slow_value) == ("tick", "latest", "x")


def test_control_messages_under_the_names_of_the_envelope() -> None:
    line = pipeline(envelope=Envelope(ref="to", ack="done", error="no"))
    assert sent(line.ack("a", 3)) == {"type": "done", "to": "a", "offset": 3}
    assert sent(line.error(Failure("x", "y"), 1)) == {
        "type": "no", "code": "x", "detail": "y", "to": 1, "retryable": False,
    }  # fmt: skip


def test_control_messages_use_the_discriminator_of_their_direction() -> None:
    class Event(Message, discriminator="event"):
        pass

    class Said(Event, type="said"):
        text: str

    chat = MessageProtocol("Chat", sends=Said)
    assert sent(chat.freeze().pipeline.ack(1)) == {"event": "ack", "ref": 1}


# Error frames.


def test_an_error_frame_says_what_the_failure_says() -> None:
    failure = Failure.of(RateLimited("Wait.", retry_after=1.2341))
    assert sent(pipeline().error(failure, "8")) == {
        "type": "error", "code": "rate_limited", "detail": "Wait.", "ref": "8", "retryable": True, "retry_after": 1.235,
    }  # fmt: skip
    assert sent(pipeline().error(Failure("internal_error", "Wrong.", error_id="x"), None)) == {
        "type": "error", "code": "internal_error", "detail": "Wrong.", "retryable": False, "error_id": "x",
    }  # fmt: skip
    assert Failure.of(UnknownType("No.")) == Failure("unknown_type", "No.")
    assert Failure.of(Reject("late", "Too late.", retryable=True)) == Failure(
        "late", "Too late.", retryable=True
    )


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=2000),
    st.text(max_size=64) | st.integers(-(2**53), 2**53) | st.none(),
    st.lists(
        st.fixed_dictionaries({
            "loc": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=32) | st.integers(0, 10**6), max_size=6),
            "type": st.just("x" * 30),
            "msg": st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
        }),
        max_size=5,
    ),
)  # fmt: skip
def test_an_error_frame_is_at_most_a_kibibyte(
    detail: str, ref: Ref | None, errors: list[dict[str, Any]]
) -> None:
    frame = pipeline().error(
        Failure("c" * 64, detail, retry_after=1e6, errors=errors, error_id="f" * 16), ref
    )
    assert frame is not None
    assert len(frame.payload) <= 1024
    body = sent(frame)
    assert (body["code"], body.get("ref"), body["retryable"]) == ("c" * 64, ref, False)
    assert body.get("errors", errors[:1]) == errors[: len(body.get("errors", errors[:1]))]


def test_the_longest_control_characters_fit_too() -> None:
    frame = pipeline().error(Failure("c" * 64, "\x00" * 500, errors=[]), "\x00" * 64)
    assert frame is not None
    assert len(frame.payload) <= 1024
    assert sent(frame)["detail"] == "c" * 64


# Limits.


def test_the_limit_of_a_type_holds_for_a_user_and_that_of_all_for_a_connection() -> None:
    limits = Limits(pipeline(route=Route(rate_limit=Rate(1, burst=2)), rate_limit=Rate(1, burst=3)))
    limits.admit(Say, "alice", "a1", 0)
    limits.admit(Say, "alice", "a2", 0)
    with pytest.raises(RateLimited) as by_type:
        limits.admit(Say, "alice", "a3", 0)
    assert by_type.value.retry_after is not None
    assert math.isclose(by_type.value.retry_after, 1)
    limits.admit(Say, "bob", "b", 0)


def test_who_is_over_the_limit_of_the_connection_pays_nothing_for_the_type() -> None:
    limits = Limits(pipeline(route=Route(rate_limit=Rate(1, burst=2)), rate_limit=Rate(1, burst=1)))
    limits.admit(Say, "alice", "a", 0)
    for _ in range(5):
        with pytest.raises(RateLimited):
            limits.admit(Say, "alice", "a", 0)
    limits.admit(Say, "alice", "other", 0)


def test_control_messages_are_free() -> None:
    limits = Limits(pipeline(rate_limit=Rate(1, burst=1)))
    for _ in range(5):
        limits.admit(Shout, "alice", "a", 0)
