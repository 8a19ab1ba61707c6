import pytest

from protocol import codes


@pytest.mark.parametrize(
    "code, again",
    [(1000, False), (1001, True), (1002, False), (1006, True), (1007, False), (1009, False), (1012, True),
     (2999, False), (3000, True), (3499, True), (3500, False), (3999, False), (4000, True), (4499, True),
     (4500, False), (4999, False)],
)  # fmt: skip
def test_the_number_alone_says_whether_to_reconnect(code: int, again: bool) -> None:
    assert codes.reconnects(code) is again


def test_every_close_code_that_is_sent_has_a_reason_that_fits() -> None:
    assert all(len(reason.encode()) <= 123 for reason in codes.REASONS.values())
    assert not codes.REASONS.keys() & {1003, 1005, 1006, 1011, 1013}


def test_no_error_code_stands_twice() -> None:
    assert len(set(codes.ERROR_CODES)) == len(codes.ERROR_CODES)
    assert set(codes.ERROR_CODES) >= codes.RETRYABLE | codes.BROKEN_FRAME
