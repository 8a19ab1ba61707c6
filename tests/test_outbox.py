import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as Parsed
from websockets.frames import Opcode
from websockets.streams import StreamReader

from protocol import Outbox
from protocol.messages import CLOSE, Slow
from protocol.outbox import OVERFLOW, Budget, Frame, OutboxQueue
from tests.misdeclared import refusal

OLDEST = Slow("drop_oldest")
LATEST = Slow("latest", "symbol")


def frame(text: str, slow: Slow = CLOSE, *, type: str = "say", key: str | None = None) -> Frame:
    return Frame(text.encode(), type, slow=slow, slow_value=key)


def queue(limit: int = 10, *, budget: int = 1000, behind: int = 0) -> OutboxQueue:
    found = OutboxQueue(limit, Budget(budget))
    found.behind = behind
    return found


def texts(outbox: OutboxQueue) -> list[str]:
    return [one.payload.decode() for one in outbox.take()]


# Frames.


def parsed(wire: bytes) -> Parsed:
    reader = StreamReader()
    reader.feed_data(wire)
    with pytest.raises(StopIteration) as stop:
        next(Parsed.parse(reader.read_exact, mask=False))
    found: Parsed = stop.value.value
    assert not reader.buffer
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
@pytest.mark.parametrize("text", [True, False])
def test_the_wire_form_is_one_unmasked_frame_of_rfc_6455(size: int, text: bool) -> None:
    one = Frame(b"x" * size, "say", text=text)
    found = parsed(one.wire)
    assert found == Parsed(Opcode.TEXT if text else Opcode.BINARY, b"x" * size)
    # The shortest length that fits (section 5.2).
    assert len(one.wire) == size + (2 if size < 126 else 4 if size < 65536 else 10)
    assert one.wire is one.wire


def test_the_event_is_what_asgi_wants() -> None:
    assert Frame("ü".encode(), "say").event == {"text": "ü"}
    assert Frame(b"\x00", "say", text=False).event == {"bytes": b"\x00"}


# Bounds.


def test_frames_leave_in_order_and_at_once() -> None:
    outbox = queue()
    assert [outbox.put(frame(text)) for text in "abc"] == [0] * 3
    assert (bool(outbox), outbox.size) == (True, 3)
    assert texts(outbox) == ["a", "b", "c"]
    assert (bool(outbox), outbox.size, outbox.take()) == (False, 0, [])


def test_what_must_not_be_lost_overflows_at_the_bound() -> None:
    outbox = queue(3)
    assert [outbox.put(frame(text)) for text in ("ab", "c", "d")] == [0, 0, OVERFLOW]
    assert texts(outbox) == ["ab", "c"]


def test_what_waits_in_the_transport_counts_too() -> None:
    assert queue(3, behind=3).put(frame("a")) == OVERFLOW


def test_a_frame_above_the_bound_passes_an_empty_outbox() -> None:
    outbox = queue(3)
    assert outbox.put(frame("abcdef")) == 0
    assert outbox.put(frame("")) == OVERFLOW


def test_the_budget_of_the_node_binds_who_is_behind_and_nobody_else() -> None:
    budget = Budget(6)
    keeps_up, behind = OutboxQueue(100, budget), OutboxQueue(100, budget)
    behind.behind = 2
    assert behind.put(frame("abcd")) == 0
    assert behind.put(frame("e")) == OVERFLOW
    assert keeps_up.put(frame("e")) == 0
    assert budget.used == 7
    behind.clear()
    keeps_up.take()
    behind.behind = 1
    assert budget.used == 1


@pytest.mark.parametrize(
    "bounds, text",
    [
        ({"bytes": 1023}, "Outbox(bytes=…) takes a whole number of at least 1024, not 1023."),
        ({"bytes": 4096.0}, "Outbox(bytes=…) takes a whole number of at least 1024, not 4096.0."),
        ({"seconds": 0}, "Outbox(seconds=…) takes a finite number of seconds above 0, not 0."),
        ({"seconds": math.inf}, "Outbox(seconds=…) takes a finite number of seconds above 0, not inf."),
        ({"seconds": math.nan}, "Outbox(seconds=…) takes a finite number of seconds above 0, not nan."),
        ({"seconds": "10"}, "Outbox(seconds=…) takes a finite number of seconds above 0, not '10'."),
        (
            {"bytes": 4096, "budget": 4095},
            "Outbox(bytes=4096, budget=…) takes a whole number of at least 4096, not 4095.",
        ),
    ],
)
def test_impossible_bounds_are_refused(bounds: dict[str, Any], text: str) -> None:
    assert refusal(lambda: Outbox(**bounds)) == text


def test_by_default_a_peer_may_be_a_mebibyte_and_ten_seconds_behind() -> None:
    assert Outbox() == Outbox(bytes=1_048_576, seconds=10, budget=268_435_456)


# Policies.


def test_a_close_policy_of_its_own_is_no_policy_to_drop() -> None:
    outbox = queue(1)
    assert [outbox.put(frame("a", Slow("close"))), outbox.put(frame("b", Slow("close")))] == [0, OVERFLOW]


def test_drop_oldest_drops_the_oldest_of_its_type_at_the_bound() -> None:
    outbox = queue(4)
    outbox.put(frame("a", OLDEST, type="x"))
    outbox.put(frame("b"))
    outbox.put(frame("c", OLDEST, type="x"))
    outbox.put(frame("d", OLDEST, type="y"))
    assert outbox.put(frame("e", OLDEST, type="x")) == 1
    assert texts(outbox) == ["b", "c", "d", "e"]


def test_every_frame_that_a_larger_one_drops_is_counted() -> None:
    outbox = queue(4)
    for text in "abcd":
        assert outbox.put(frame(text, OLDEST)) == 0
    assert outbox.put(frame("efg", OLDEST)) == 3
    assert texts(outbox) == ["d", "efg"]


def test_drop_oldest_drops_itself_where_nothing_of_its_type_waits() -> None:
    outbox = queue(1)
    outbox.put(frame("a"))
    assert outbox.put(frame("b", OLDEST)) == 1
    assert texts(outbox) == ["a"]


def test_latest_keeps_the_newest_of_each_key_while_the_peer_is_behind() -> None:
    outbox = queue(100, behind=1)
    verdicts = [
        outbox.put(frame(text, LATEST, type="tick", key=key))
        for text, key in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a"))
    ]
    assert verdicts == [0, 0, 1, 1]
    assert texts(outbox) == ["b1", "a3"]


@pytest.mark.parametrize("slow", [OLDEST, LATEST])
def test_a_consumer_that_keeps_up_loses_nothing(slow: Slow) -> None:
    outbox = queue(100)
    assert {outbox.put(frame("x", slow, type="tick", key="a")) for _ in range(100)} == {0}
    assert len(outbox.take()) == 100


def test_memory_does_not_grow_with_what_was_dropped() -> None:
    outbox = queue(100, behind=1)
    for number in range(100_000):
        outbox.put(frame("x", LATEST, type="tick", key=str(number % 3)))
    assert len(outbox._frames) < 200
    assert sum(map(len, outbox._droppable.values())) == 3


def test_memory_does_not_grow_with_the_keys_of_what_was_dropped() -> None:
    outbox = queue(1, behind=1)
    for number in range(1000):
        assert outbox.put(frame("x", LATEST, type="tick", key=str(number))) == 1
    assert len(outbox._droppable) == 0


frames = st.builds(
    frame,
    st.text("ab", max_size=6),
    st.sampled_from([CLOSE, OLDEST, LATEST]),
    type=st.sampled_from(["x", "y"]),
    key=st.sampled_from(["k", "l"]),
)
steps = st.one_of(frames, st.just("take"), st.just("clear"), st.integers(0, 12))


@given(st.lists(steps, max_size=80), st.integers(1, 30))
def test_an_outbox_is_a_list_with_bounds(steps: list[Frame | str | int], budget: int) -> None:
    shared = Budget(budget)
    outbox = OutboxQueue(12, shared)
    model: list[Frame] = []
    for step in steps:
        if isinstance(step, int):
            outbox.behind = step
        elif step == "take":
            assert [id(one) for one in outbox.take()] == [id(one) for one in model]
            model = []
        elif step == "clear":
            outbox.clear()
            model = []
        else:
            assert isinstance(step, Frame)
            # The same frame may be published twice; the model tells frames apart by identity.
            one = Frame(step.payload, step.type, slow=step.slow, slow_value=step.slow_value)
            verdict, model = expected(model, one, outbox.behind, budget)
            assert outbox.put(one) == verdict
        assert outbox.size == shared.used - outbox.behind == sum(map(len, model))
        assert outbox.size <= 12
        assert bool(outbox) or not model
    assert [id(one) for one in outbox.take()] == [id(one) for one in model]


def expected(model: list[Frame], one: Frame, behind: int, budget: int) -> tuple[int, list[Frame]]:
    """What the docstrings say: the verdict, and what waits then."""

    def exceeds(waiting: list[Frame]) -> bool:
        size = sum(map(len, waiting))
        return size + behind > 0 and (
            size + behind + len(one) > 12 or (behind > 0 and size + behind + len(one) > budget)
        )

    def same(other: Frame) -> bool:
        if one.slow.policy == "drop_oldest":
            return other.slow.policy == "drop_oldest" and other.type == one.type
        return other.slow.policy == "latest" and (other.type, other.slow_value) == (one.type, one.slow_value)

    if one.slow.policy == "close":
        return (OVERFLOW, model) if exceeds(model) else (0, [*model, one])
    kept, lost = list(model), 0
    while any(map(same, kept)) and (exceeds(kept) or (one.slow.policy == "latest" and behind)):
        kept.remove(next(filter(same, kept)))
        lost += 1
    if exceeds(kept):
        return lost + 1, kept
    return lost, [*kept, one]
