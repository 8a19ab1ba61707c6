import pytest

from protocol import (
    ConfigurationError,
    Disconnect,
    LocalProtocolError,
    RateLimited,
    Reject,
    UnknownType,
    codes,
)
from protocol.exceptions import RemoteProtocolError
from tests.misdeclared import refusal


def test_a_rejects_code_is_given_or_declared() -> None:
    class TooLate(Reject, code="too_late", retryable=True):
        pass

    class MuchTooLate(TooLate):
        pass

    assert (Reject().code, Reject().detail, Reject().retryable) == ("forbidden", "forbidden", False)
    assert (MuchTooLate().code, MuchTooLate().detail, MuchTooLate().retryable) == (
        "too_late",
        "too late",
        True,
    )
    given = TooLate("closed", "The shop is closed.", retryable=False)
    assert (given.code, given.detail, given.retryable) == ("closed", "The shop is closed.", False)
    assert TooLate.code == "too_late"


@pytest.mark.parametrize("code", ["", "Too", "too late", "1st", "x" * 65, "ä"])
def test_a_code_that_is_no_name_is_refused(code: str) -> None:
    assert refusal(lambda: Reject(code)) == (
        f"An error code is lower-case words joined by underscores, such as 'too_late', not {code!r}; "
        "a text for people is the detail."
    )
    with pytest.raises(ConfigurationError):
        type("Declared", (Reject,), {}, code=code)


def test_a_disconnect_has_the_reason_of_its_code() -> None:
    error = Disconnect(codes.TOO_MANY_ERRORS)
    assert (error.code, error.reason) == (3509, "too many errors")
    assert (Disconnect().code, Disconnect().reason) == (1000, "normal closure")
    assert (Disconnect(4000).reason, Disconnect(4000, "bye").reason) == ("", "bye")


@pytest.mark.parametrize("code", [0, 999, 1003, 1004, 1005, 1006, 1011, 1013, 1015, 2999, 5000])
def test_codes_that_must_not_be_sent_are_refused(code: int) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Disconnect(code)
    assert str(caught.value) == f"Close with 1000, or a code from 3000 to 4999, not {code}."


def test_a_reason_has_at_most_123_bytes() -> None:
    assert Disconnect(4000, "x" * 123).reason == "x" * 123
    with pytest.raises(LocalProtocolError) as caught:
        Disconnect(4000, "ü" * 62)
    assert str(caught.value) == "A close reason is at most 123 bytes of UTF-8 (RFC 6455, section 5.5)."


def test_every_remote_error_has_a_code_of_the_vocabulary() -> None:
    errors = RemoteProtocolError.__subclasses__()
    assert {error.code for error in errors} <= set(codes.ERROR_CODES)
    assert len({error.code for error in errors}) == len(errors)


def test_only_what_may_succeed_later_is_retryable() -> None:
    assert RateLimited("Wait.", retry_after=1.5).retryable
    assert not UnknownType("No.").retryable
