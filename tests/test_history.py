import itertools
import math
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.history import History, Page, Recovery, Stream
from protocol.types import Position
from tests.misdeclared import refusal


def stream_of(count: int, history: History | None = None) -> Stream[int]:
    """A stream whose entries are their own offsets, appended at the time 0."""
    stream: Stream[int] = Stream(history or History(), "e", now=0)
    for _ in range(count):
        stream.append(lambda position: position.offset, now=0)
    return stream


def at(offset: int) -> Position:
    return Position(offset, "e")


@pytest.mark.parametrize(
    "options,text",
    [
        ({"size": 0}, "History(size=…) takes a whole number of at least 1, not 0."),
        ({"size": "9"}, "History(size=…) takes a whole number of at least 1, not '9'."),
        ({"ttl": 0}, "History(ttl=…) takes a finite number of seconds above 0, not 0."),
        ({"ttl": math.inf}, "History(ttl=…) takes a finite number of seconds above 0, not inf."),
        ({"ttl": math.nan}, "History(ttl=…) takes a finite number of seconds above 0, not nan."),
        (
            {"ttl": timedelta(hours=1)},
            "History(ttl=…) takes a finite number of seconds above 0, not datetime.timedelta(seconds=3600).",
        ),
        ({"recover": -1}, "History(recover=…) takes a whole number of at least 0, not -1."),
        ({"recover": None}, "History(recover=…) takes a whole number of at least 0, not None."),
    ],
)
def test_a_history_that_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    assert refusal(lambda: History(**options)) == text


def test_offsets_rise_by_one_from_one() -> None:
    stream: Stream[Position] = Stream(History(), "e", now=0)
    assert stream.position == at(0)
    assert [stream.append(lambda position: position, now=0) for _ in range(3)] == [at(1), at(2), at(3)]
    assert stream.position == at(3)


def test_an_entry_that_cannot_be_made_takes_no_offset() -> None:
    stream = stream_of(1)
    with pytest.raises(ZeroDivisionError):
        stream.append(lambda position: 1 // 0, now=0)
    assert stream.append(lambda position: position.offset, now=0) == 2


@pytest.mark.parametrize(
    "after,limit,entries,recovered",
    [
        # a recovery: all that follows, or nothing
        (None, None, (), False),
        (at(10), None, (), True),
        (at(9), None, (10,), True),
        (at(6), None, (7, 8, 9, 10), True),
        (at(5), None, (), False),
        (at(11), None, (), False),
        (at(-1), None, (), False),
        (Position(9, "other"), None, (), False),
        (Position(0, "other"), None, (), False),
        # a page
        (None, 0, (), False),
        (None, 3, (8, 9, 10), False),
        (None, 99, (3, 4, 5, 6, 7, 8, 9, 10), False),
        (at(2), 3, (3, 4, 5), True),
        (at(2), 99, (3, 4, 5, 6, 7, 8, 9, 10), True),
        (at(2), 0, (), True),
        (at(1), 3, (), False),
        (at(10), 3, (), True),
        (at(11), 3, (), False),
        (Position(9, "other"), 3, (), False),
    ],
)
def test_a_page_follows_directly_on_the_position_or_is_empty(
    after: Position | None, limit: int | None, entries: tuple[int, ...], recovered: bool
) -> None:
    stream = stream_of(10, History(size=8, recover=4))
    assert stream.since(after, now=0, limit=limit) == Page(entries, at(10), recovered)


def test_an_entry_is_seen_for_its_ttl_and_no_longer() -> None:
    stream = stream_of(2, History(ttl=10))
    stream.append(lambda position: position.offset, now=5)
    assert stream.since(at(0), now=9.9).entries == (1, 2, 3)
    assert stream.since(at(0), now=10) == Page((), at(3), recovered=False)
    assert stream.since(at(2), now=10).entries == (3,)


def test_offset_and_epoch_outlive_the_entries() -> None:
    stream = stream_of(3, History(ttl=10))
    assert stream.since(at(3), now=1000) == Page((), at(3), recovered=True)
    assert stream.since(at(2), now=1000) == Page((), at(3), recovered=False)
    assert len(stream) == 0
    assert stream.append(lambda position: position.offset, now=1000) == 4


@pytest.mark.parametrize("use", ["append", "since"])
def test_a_stream_is_idle_a_ttl_after_its_last_use(use: str) -> None:
    stream = stream_of(0, History(ttl=10))
    assert not stream.idle(9.9)
    assert stream.idle(10)
    if use == "append":
        stream.append(lambda position: position.offset, now=10)
    else:
        stream.since(None, now=10)
    assert not stream.idle(19.9)
    assert stream.idle(20)


@given(
    size=st.integers(1, 5),
    recover=st.integers(0, 5),
    steps=st.lists(
        st.one_of(
            st.just("append"),
            st.floats(0, 6),
            st.tuples(st.none() | st.integers(-1, 12), st.none() | st.integers(0, 4)),
        ),
        max_size=30,
    ),
)
def test_a_stream_equals_a_list(
    size: int, recover: int, steps: list[str | float | tuple[int | None, int | None]]
) -> None:
    history = History(size=size, ttl=10, recover=recover)
    stream: Stream[int] = Stream(history, "e", now=0)
    published: list[float] = []  # the time of each; its offset is its place, from 1
    now = 0.0
    for step in steps:
        if step == "append":
            published.append(now)
            assert stream.append(lambda position: position.offset, now) == len(published)
        elif isinstance(step, float):
            now += step
        else:
            assert isinstance(step, tuple)
            offset, limit = step
            kept = [place for place, time in enumerate(published, start=1) if time > now - 10][-size:]
            page = stream.since(None if offset is None else at(offset), now, limit)
            assert page.position == at(len(published))
            if offset is None:
                newest = tuple(kept[-limit:]) if limit else ()
                assert page == Page(newest, page.position, recovered=False)
                continue
            follows = tuple(place for place in kept if place > offset)
            whole = 0 <= offset <= len(published) and len(follows) == len(published) - offset
            assert page.recovered == (whole and (limit is not None or len(follows) <= recover))
            assert page.entries == (follows[:limit] if page.recovered else ())


def test_what_was_missed_comes_first_and_the_live_follows() -> None:
    recovery: Recovery[int] = Recovery()
    assert recovery.live(at(4), 4)
    assert recovery.begin(at(4), [3, 4])
    assert recovery.live(at(5), 5)
    assert len(recovery) == 3
    assert [recovery.pop() for _ in range(3)] == [3, 4, 5]
    assert recovery.caught_up
    with pytest.raises(IndexError):
        recovery.pop()


def test_a_reader_is_behind_what_it_has_taken() -> None:
    recovery: Recovery[int] = Recovery()
    assert recovery.begin(at(4), [3, 4])
    assert recovery.live(at(5), 5)
    positions = [recovery.position]
    while recovery:
        recovery.pop()
        positions.append(recovery.position)
    assert positions == [at(2), at(3), at(4), at(5)]


def test_nothing_can_be_taken_before_the_stream_is_read() -> None:
    recovery: Recovery[int] = Recovery()
    assert recovery.live(at(1), 1)
    assert len(recovery) == 0
    assert not recovery.caught_up


def test_who_has_read_what_is_still_on_its_way_has_not_caught_up() -> None:
    recovery: Recovery[int] = Recovery(heard=at(2))
    assert recovery.begin(at(4), [])
    assert not recovery.caught_up
    assert recovery.live(at(3), 3)
    assert not recovery.caught_up
    assert recovery.live(at(4), 4)
    assert recovery.caught_up
    assert len(recovery) == 0


@pytest.mark.parametrize(
    "heard,top,caught_up",
    [
        (None, at(0), True),
        (None, at(1), False),
        (at(1), at(1), True),
        (at(2), at(1), True),
        (Position(9, "before"), at(1), False),
    ],
)
def test_a_reader_has_caught_up_once_the_live_has(
    heard: Position | None, top: Position, caught_up: bool
) -> None:
    recovery: Recovery[int] = Recovery(heard)
    recovery.begin(top, [])
    assert recovery.caught_up is caught_up


def test_a_hole_after_what_was_read_is_told() -> None:
    recovery: Recovery[int] = Recovery()
    assert recovery.begin(at(4), [])
    assert not recovery.live(at(6), 6)


def test_a_hole_in_what_came_before_the_reading_is_told() -> None:
    recovery: Recovery[int] = Recovery()
    assert recovery.live(at(6), 6)
    assert not recovery.begin(at(4), [])


@pytest.mark.parametrize("early", [True, False])
def test_another_epoch_is_told(early: bool) -> None:
    recovery: Recovery[int] = Recovery()
    if early:
        assert recovery.live(Position(5, "other"), 5)
        assert not recovery.begin(at(4), [])
    else:
        assert recovery.begin(at(4), [])
        assert not recovery.live(Position(5, "other"), 5)


@pytest.mark.parametrize("early", [True, False])
def test_too_many_live_ones_that_wait_are_told_and_missed_ones_do_not_count(early: bool) -> None:
    recovery: Recovery[int] = Recovery(limit=2)
    if not early:
        assert recovery.begin(at(4), [1, 2, 3, 4])
    assert recovery.live(at(5), 5)
    assert recovery.live(at(6), 6)
    assert not recovery.live(at(7), 7)


def interleavings() -> Iterator[str]:
    """Every order of three publications (P), their arrivals (A), the reading (R) and its answer (B)."""
    for order in sorted(set(itertools.permutations("PPPAAARB"))):
        published = arrived = 0
        possible = order.index("R") < order.index("B")
        for step in order:
            published += step == "P"
            arrived += step == "A"
            possible = possible and arrived <= published
        if possible:
            yield "".join(order)


def recover(program: str, *, before: int, after: int | None) -> None:
    """Run ``program`` for a reader who saw ``after`` last, and check what it gets. ``T`` takes what waits.

    The live stream arrives late and in order; a reader that has caught up gets it directly.
    """
    stream = stream_of(before)
    on_its_way: deque[int] = deque()
    recovery: Recovery[int] = Recovery(at(before))
    page: Page[int] | None = None
    begun = direct = False
    got: list[int] = []
    # What the program leaves open happens at its end.
    for step in program + "RB" + "A" * program.count("P") + "T":
        if step == "P":
            on_its_way.append(stream.append(lambda position: position.offset, now=0))
        elif step == "A" and on_its_way:
            offset = on_its_way.popleft()
            if direct:
                got.append(offset)
            else:
                assert recovery.live(at(offset), offset)
        elif step == "R" and page is None:
            page = stream.since(None if after is None else at(after), now=0)
        elif step == "B" and page is not None and not begun:
            begun = recovery.begin(page.position, page.entries)
            assert begun
        elif step == "T":
            got.extend(recovery.pop() for _ in range(len(recovery)))
        direct = direct or recovery.caught_up
    assert page is not None
    assert page.recovered == (after is not None)
    first = page.position.offset if after is None else after
    assert got == list(range(first + 1, stream.offset + 1)), program


@pytest.mark.parametrize("after", [None, 0, 1, 2])
def test_each_offset_arrives_once_in_every_interleaving_of_publishing_and_recovery(after: int | None) -> None:
    for program in interleavings():
        recover(program, before=2, after=after)


@given(before=st.integers(0, 5), data=st.data(), program=st.text("PPPAAARBT", max_size=40))
def test_each_offset_arrives_once_however_long_it_takes(
    before: int, data: st.DataObject, program: str
) -> None:
    after = data.draw(st.none() | st.integers(0, before))
    recover(program, before=before, after=after)
