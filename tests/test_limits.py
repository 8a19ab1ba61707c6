"""Rates against an exact token bucket, tables against their bounds, tolerance against a list of frames."""

import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.limits import Limiter, Rate, Tolerance, ToleranceMeter
from tests.misdeclared import refusal

PER_SECOND = st.sampled_from([0.1, 0.25, 1.0, 3.0, 7.3, 10.0, 1000.0])
BURSTS = st.integers(1, 8)
STARTS = st.sampled_from([0.0, 1.7, 86_400.0 * 400])
STEPS = st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.1, 1 / 3, 0.5, 1.0, 4.0]), min_size=1, max_size=60)
"""Steps of a clock in intervals of the rate, so that every rate meets its edges."""


class Bucket:
    """A token bucket in exact arithmetic, as a textbook has it."""

    def __init__(self, rate: Rate, now: float, *, spare: float = 0) -> None:
        self.rate = Fraction(rate.per_second)
        self.size = rate.burst + Fraction(spare)
        self.tokens = self.size
        self.now = Fraction(now)

    def would_take(self, now: float) -> bool:
        self.tokens = min(self.size, self.tokens + (Fraction(now) - self.now) * self.rate)
        self.now = Fraction(now)
        return self.tokens >= 1

    def take(self) -> None:
        self.tokens -= 1


@given(PER_SECOND, BURSTS, STARTS, STEPS)
def test_a_limiter_is_a_token_bucket_up_to_rounding(
    per_second: float, burst: int, now: float, steps: list[float]
) -> None:
    rate = Rate(per_second, burst=burst)
    limiter = Limiter(rate)
    strict, generous = Bucket(rate, now), Bucket(rate, now, spare=2e-3)
    for step in steps:
        now += step / per_second
        must, may = strict.would_take(now), generous.would_take(now)
        conforms = limiter.take("key", now) == 0
        assert must <= conforms <= may
        if conforms:
            strict.take()
            generous.take()


@given(st.sampled_from([0.25, 1.0, 2.0, 16.0]), BURSTS, st.lists(st.integers(0, 40), max_size=80))
def test_without_rounding_a_limiter_is_exactly_a_token_bucket(
    per_second: float, burst: int, eighths: list[int]
) -> None:
    rate = Rate(per_second, burst=burst)
    limiter, bucket, now = Limiter(rate), Bucket(rate, 0.0), 0.0
    for step in eighths:
        now += step / 8
        conforms = bucket.would_take(now)
        wait = limiter.take("key", now)
        assert wait == (0 if conforms else (1 - bucket.tokens) / bucket.rate)
        if conforms:
            bucket.take()


@given(PER_SECOND, BURSTS, STARTS, STEPS)
def test_no_window_holds_more_than_its_burst_and_rate(
    per_second: float, burst: int, now: float, steps: list[float]
) -> None:
    limiter = Limiter(Rate(per_second, burst=burst))
    taken = []
    for step in steps:
        now += step / per_second
        if limiter.take("key", now) == 0:
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            window = taken[last] - taken[first]
            assert last - first + 1 <= burst + per_second * window + 2e-3


@given(PER_SECOND, BURSTS, STARTS, STEPS)
def test_after_the_wait_a_message_conforms_and_just_before_it_does_not(
    per_second: float, burst: int, now: float, steps: list[float]
) -> None:
    limiter = Limiter(Rate(per_second, burst=burst))
    for step in steps:
        now += step / per_second
        if wait := limiter.take("key", now):
            assert limiter.take("key", now + wait * 0.99 - 2e-3 / per_second) > 0
            now += wait
            assert limiter.take("key", now) == 0


@given(PER_SECOND, BURSTS, STEPS, st.integers(1, 5))
def test_a_refused_message_takes_nothing(
    per_second: float, burst: int, steps: list[float], refusals: int
) -> None:
    once, often = Limiter(Rate(per_second, burst=burst)), Limiter(Rate(per_second, burst=burst))
    now = 0.0
    for step in steps:
        now += step / per_second
        wait = once.take("key", now)
        assert often.take("key", now) == wait
        if wait:
            assert {often.take("key", now) for _ in range(refusals)} == {wait}


@given(PER_SECOND, BURSTS, STEPS)
def test_a_refunded_message_was_never_taken(per_second: float, burst: int, steps: list[float]) -> None:
    plain, refunding = Limiter(Rate(per_second, burst=burst)), Limiter(Rate(per_second, burst=burst))
    now = 0.0
    for step in steps:
        now += step / per_second
        if refunding.take("key", now) == 0:
            refunding.refund("key")
        assert refunding.take("key", now) == pytest.approx(plain.take("key", now))


def test_the_whole_burst_conforms_at_any_time_of_the_clock() -> None:
    for now in (0.0, 0.1, 1e5 / 3, 4e6 + 0.7, 1e9 / 7):
        limiter = Limiter(Rate(10, burst=4000))
        assert [limiter.take("key", now) for _ in range(4000)] == [0.0] * 4000
        assert limiter.take("key", now) == pytest.approx(0.1, rel=2e-3)


def test_keys_do_not_share_a_limit() -> None:
    limiter = Limiter(Rate(1))
    assert limiter.take("alice", 0.0) == 0
    assert limiter.take("bob", 0.0) == 0
    assert limiter.take(("bob", 7), 0.0) == 0
    assert limiter.take("alice", 0.0) == 1.0


def test_a_clock_that_goes_back_stands_still() -> None:
    limiter = Limiter(Rate(1, burst=2))
    assert limiter.take("key", 100.0) == 0
    assert limiter.take("key", 0.0) == 0
    assert limiter.take("key", -50.0) == 1.0
    assert limiter.take("key", 100.5) == 0.5
    assert limiter.take("other", 99.0) == 0
    assert limiter.take("key", 101.0) == 0


@given(
    st.integers(1, 6),
    st.sampled_from([0.5, 1.0, 3.0]),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.1, 0.4, 1.0, 5.0])), max_size=120),
)
def test_a_full_table_refuses_new_keys_and_keeps_every_debt(
    capacity: int, per_second: float, burst: int, program: list[tuple[int, float]]
) -> None:
    rate = Rate(per_second, burst=burst)
    bounded, boundless = Limiter(rate, capacity=capacity), Limiter(rate)
    now = 0.0
    taken: defaultdict[int, list[float]] = defaultdict(list)
    for key, step in program:
        now += step
        wait = bounded.take(key, now)
        assert len(bounded) <= capacity
        if wait == 0:
            taken[key].append(now)
            assert boundless.take(key, now) == 0, "what was forgotten was still owed"
        else:
            assert 0 < wait < (1 + 1e-9) * max(1, burst) / per_second
    for times in taken.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + per_second * (times[last] - times[first]) + 2e-3


def test_many_keys_cannot_wash_off_a_debt() -> None:
    limiter = Limiter(Rate(1, burst=3), capacity=10)
    assert [limiter.take("victim", 0.0) for _ in range(3)] == [0, 0, 0]
    answers = [limiter.take(n, 0.0) for n in range(1000)]
    assert answers[:9] == [0] * 9
    assert set(answers[9:]) == {1.0}
    assert len(limiter) == 10
    assert limiter.take("victim", 0.0) == 1.0


def test_a_full_table_has_a_place_as_soon_as_a_debt_is_paid() -> None:
    limiter = Limiter(Rate(1, burst=3), capacity=2)
    assert [limiter.take("deep", 0.0) for _ in range(3)] == [0, 0, 0]
    assert limiter.take("shallow", 0.5) == 0
    assert limiter.take("new", 0.5) == 0.5
    assert limiter.take("new", 1.0) == 0.5
    assert limiter.take("new", 1.5) == 0
    assert limiter.take("deep", 1.5) == 0
    assert limiter.take("deep", 1.5) > 0


def test_keys_that_owe_nothing_are_forgotten_as_new_ones_come() -> None:
    limiter = Limiter(Rate(10, burst=40))
    for n in range(100_000):
        assert limiter.take(n, n / 1000) == 0
    assert len(limiter) <= 2 * 100 + 2  # an interval has 100 new keys


def test_the_work_is_bounded_by_the_messages_that_conformed() -> None:
    hashed = 0

    class Key:
        def __init__(self, hash: int) -> None:
            self.hash = hash

        def __hash__(self) -> int:
            nonlocal hashed
            hashed += 1
            return self.hash

    limiter = Limiter(Rate(10, burst=40), capacity=300)
    taken, takes, now, full = 0, 0, 0.0, False
    for number in range(5000):
        key = Key(number)
        for _ in range(1 + number % 7):
            taken += limiter.take(key, now) == 0
            takes += 1
            now += 0.0003
        full = full or len(limiter) == 300
    assert full, "a full table is where looks are not bounded one by one"
    # Each take looks a key up and stores it; each look at an old key looks it up and may delete it.
    assert hashed <= 2 * takes + 2 * taken


def test_a_rate_has_a_burst_of_one_second_unless_told() -> None:
    assert Rate(10) == Rate(10, burst=10)
    assert Rate(2.5).burst == 3
    assert Rate(0.1).burst == 1
    assert repr(Rate(10, burst=40)) == "Rate(per_second=10, burst=40)"


@pytest.mark.parametrize("per_second", [0, -1, math.inf, math.nan, "10/s", None])
def test_a_rate_must_be_a_finite_number_above_zero(per_second: Any) -> None:
    assert refusal(lambda: Rate(per_second)) == (
        f"Rate(per_second=…) takes a finite number of messages per second above 0, not {per_second!r}."
    )


@pytest.mark.parametrize("burst", [0, 2.5, "40"])
def test_a_burst_must_let_one_message_through(burst: Any) -> None:
    assert refusal(lambda: Rate(10, burst=burst)) == (
        f"Rate(burst=…) takes a whole number of at least 1, not {burst!r}."
    )


def test_a_limiter_must_have_room_for_a_key() -> None:
    assert refusal(lambda: Limiter(Rate(10), capacity=0)) == (
        "Limiter(capacity=…) takes a whole number of at least 1, not 0."
    )


def test_the_fiftieth_broken_frame_in_a_row_is_too_many() -> None:
    meter = ToleranceMeter(Tolerance())
    assert [meter.broken(n * 100.0) for n in range(50)] == [False] * 49 + [True]


def test_a_good_frame_ends_the_row() -> None:
    meter = ToleranceMeter(Tolerance(row=3))
    assert [meter.broken(0.0), meter.broken(0.0)] == [False, False]
    meter.good()
    assert [meter.broken(0.0), meter.broken(0.0), meter.broken(0.0)] == [False, False, True]


def test_the_two_hundredth_broken_frame_in_a_minute_is_too_many() -> None:
    meter = ToleranceMeter(Tolerance())
    for n in range(199):
        assert not meter.broken(n * 0.3)
        meter.good()
    assert meter.broken(59.9)


def test_broken_frames_a_minute_apart_are_not_too_many() -> None:
    meter = ToleranceMeter(Tolerance(row=None, minute=2))
    assert [meter.broken(0.0), meter.broken(60.0), meter.broken(119.9)] == [False, False, True]


def test_no_limit_is_never_exceeded() -> None:
    meter = ToleranceMeter(Tolerance(row=None, minute=None))
    assert not any(meter.broken(0.0) for _ in range(1000))


@given(
    st.integers(1, 5) | st.none(),
    st.integers(1, 5) | st.none(),
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 1.0, 20.0, 61.0])), max_size=60),
)
def test_tolerance_is_what_a_list_of_all_frames_says(
    row: int | None, minute: int | None, frames: list[tuple[bool, float]]
) -> None:
    meter = ToleranceMeter(Tolerance(row=row, minute=minute))
    now, in_row, times = 0.0, 0, list[float]()
    for good, step in frames:
        now += step
        if good:
            in_row = 0
            meter.good()
            continue
        in_row += 1
        times.append(now)
        recent = sum(now - 60 < time for time in times)
        expected = (row is not None and in_row >= row) or (minute is not None and recent >= minute)
        assert meter.broken(now) == expected


@pytest.mark.parametrize("limit", ["row", "minute"])
@pytest.mark.parametrize("given", [0, "50"])
def test_a_tolerance_must_let_a_connection_live(limit: str, given: Any) -> None:
    assert refusal(lambda: Tolerance(**{limit: given})) == (
        f"Tolerance({limit}=…) takes a whole number of at least 1, or None for no limit, not {given!r}."
    )
