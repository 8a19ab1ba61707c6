"""Frames and their labels."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from pydantic import BaseModel, Field

from protocol import Message, MessageProtocol
from protocol.exceptions import RemoteProtocolError
from protocol.fuzzing import GeneratedFrame, Grammar, Label, Mutation, frames


class Point(BaseModel):
    x: int
    y: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Draw(Message, type="draw"):
    room: Annotated[str, Field(pattern="^[a-z]{2,8}$")]
    text: Annotated[str, Field(min_length=2, max_length=50)]
    points: Annotated[list[Point], Field(min_length=1, max_length=3)] = [Point(x=0)]


class Quiet(Message, type="quiet"):
    anything: Any = None


def chat() -> MessageProtocol:
    return MessageProtocol("Canvas", receives=[Draw, Quiet])


@pytest.fixture(scope="module")
def some() -> list[GeneratedFrame]:
    """So many frames that whatever is made at all is among them."""
    made: list[GeneratedFrame] = []
    for label, number in ((Label.VALID, 100), (Label.NEAR_VALID, 200), (Label.GARBAGE, 300)):

        @settings(max_examples=number, database=None, derandomize=True, phases=[Phase.generate])
        @given(frames(chat(), labels=[label]))
        def collect(frame: GeneratedFrame) -> None:
            made.append(frame)

        collect()
    return made


def accepted(protocol: MessageProtocol, data: str | bytes) -> bool:
    try:
        for body in protocol.codec.decode(data):
            protocol.registry.inbound.decode(body)
    except RemoteProtocolError:
        return False
    return True


def test_every_label_is_what_the_protocol_says(some: list[GeneratedFrame]) -> None:
    protocol = chat()
    for frame in some:
        assert accepted(protocol, frame.data) is (frame.label is Label.VALID)
        assert (frame.mutation is not None) is (frame.label is Label.NEAR_VALID)
        assert frame.label is Label.GARBAGE or frame.type in {"draw", "quiet"}


@pytest.mark.parametrize("label", Label)
def test_labels_can_be_chosen(label: Label) -> None:
    @settings(max_examples=20)
    @given(frames(chat(), labels=[label]))
    def check(frame: GeneratedFrame) -> None:
        assert frame.label is label

    check()


@pytest.mark.parametrize("mutation", Mutation)
def test_every_mutation_is_tried(mutation: Mutation, some: list[GeneratedFrame]) -> None:
    frames = [frame for frame in some if frame.mutation is mutation]
    assert frames
    assert all(frame.path or mutation is Mutation.EXTRA for frame in frames)


@pytest.mark.parametrize("label", [Label.NEAR_VALID, Label.GARBAGE])
def test_where_everything_is_accepted_nothing_is_invalid(label: Label) -> None:
    lenient = Grammar({"say": {"properties": {"type": {"const": "say"}}}}, lambda frame: None)

    @settings(max_examples=1, database=None, suppress_health_check=list(HealthCheck))
    @given(frames(lenient, labels=[label]))
    def never(frame: GeneratedFrame) -> None:
        raise AssertionError(frame)

    with pytest.raises(Unsatisfiable):
        never()


def test_what_is_no_violation_is_no_mutation() -> None:
    @settings(max_examples=80)
    @given(frames(chat(), Quiet, labels=[Label.NEAR_VALID]))
    def check(frame: GeneratedFrame) -> None:
        assert frame.path[:1] != ("anything",)

    check()


def test_of_a_member_twice_the_second_is_not_valid(some: list[GeneratedFrame]) -> None:
    for frame in some:
        if frame.mutation is Mutation.DUPLICATE_KEY:
            members: list[tuple[str, Any]] = json.loads(frame.data, object_pairs_hook=list)
            names = [name for name, _ in members]
            assert len(names) == len(set(names)) + 1
            assert members[-1][0] == frame.path[0]


@pytest.mark.parametrize("spelling", ["\r\n\t", "\\u", '", "', '{"id":', '{"type":"draw","room":"'])
def test_valid_frames_are_spelled_in_several_ways(spelling: str, some: list[GeneratedFrame]) -> None:
    assert any(spelling in str(frame.data) for frame in some if frame.label is Label.VALID)


@pytest.mark.parametrize(
    "kind",
    [
        lambda data: isinstance(data, bytes) and data.startswith(b'{"type"'),
        lambda data: isinstance(data, bytes) and not data.startswith(b'{"type"'),
        lambda data: data == "",
        lambda data: data == "NaN",
        lambda data: data == "[" * 60_000,
        lambda data: "\\ud800" in str(data),
        lambda data: str(data).startswith('[{"type"'),
        lambda data: str(data).startswith("\ufeff{"),
    ],
)
def test_garbage_is_of_many_kinds(kind: Callable[[str | bytes], bool], some: list[GeneratedFrame]) -> None:
    assert any(kind(frame.data) for frame in some if frame.label is Label.GARBAGE)


def test_a_long_frame_is_shown_in_short() -> None:
    frame = GeneratedFrame('{"type":"' + "a" * 5000, Label.NEAR_VALID, "draw", Mutation.OVERSIZE, ("text", 0))
    shown = repr(frame)
    assert shown.startswith("<near_valid frame from 'draw' by oversize at ['text', 0]: '{\"type\":\"aaa")
    assert shown.endswith("aaa' (5009 long)>")
    assert len(shown) < 2_100
    assert repr(GeneratedFrame(b"\0", Label.GARBAGE, None)) == "<garbage frame: b'\\x00'>"


def test_no_frame_is_longer_than_the_protocol_reads() -> None:
    small = MessageProtocol("Canvas", receives=[Draw], max_frame=400)

    @settings(max_examples=80)
    @given(frames(small))
    def check(frame: GeneratedFrame) -> None:
        assert len(frame.data if isinstance(frame.data, bytes) else frame.data.encode()) <= 400

    check()


def test_overrides_hold_in_frames() -> None:
    rooms = {"*.room": st.just("general")}

    @settings(max_examples=50)
    @given(frames(chat(), Draw, labels=[Label.VALID], overrides=rooms))
    def check(frame: GeneratedFrame) -> None:
        assert json.loads(frame.data)["room"] == "general"

    check()
