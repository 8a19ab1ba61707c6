"""The planted bugs are found by the check that is for them, and their twins give no alarm."""

import pytest

from tests.fuzz.table import NAMES, hunt, planted

# Those that are found at once. All of them, with ten seeds: `python -m tests.fuzz.table --seeds 10`.
QUICK = [
    "answer_to_another", "average_of_nothing", "counted_for_ever", "counted_on_each_node", "double_reply",
    "drafts_pile_up", "ghost_member", "gone_without_goodbye", "lock_never_released", "lost_update", "missing_reply", "overtaking_answer",
    "seat_taken_twice", "ticker_left_behind",
]  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found_with_a_short_transcript(name: str) -> None:
    failure, _ = hunt(planted(name), bug=True, seed=1)
    assert failure is not None  # The twin gives no alarm: whatever check fails, it is for the bug.
    assert len(failure.transcript.exchanges) <= 6


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_planted_bug_is_found_for_nine_of_ten_seeds(name: str) -> None:
    module = planted(name)
    found = [failure for seed in range(10) if (failure := hunt(module, bug=True, seed=seed)[0]) is not None]
    assert len(found) >= 9
    assert all(len(failure.transcript.exchanges) <= 6 for failure in found)


@pytest.mark.parametrize("name", NAMES)
def test_a_correct_twin_gives_no_alarm(name: str) -> None:
    failure, _ = hunt(planted(name), bug=False, seed=1, max_examples=10)
    assert failure is None, str(failure)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_correct_twin_gives_no_alarm_for_long(name: str) -> None:
    failure, _ = hunt(planted(name), bug=False, seed=1, max_examples=5_000)
    assert failure is None, str(failure)
