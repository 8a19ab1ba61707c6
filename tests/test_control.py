import pytest
from pydantic import ValidationError

from protocol import Ack, Cancel, Error, Ping
from protocol.control import ErrorItem, renamed
from protocol.messages import discriminator_of, tags_of


def test_a_control_message_under_its_own_name_is_itself() -> None:
    assert renamed(Ack, "type", "ack") is Ack


def test_a_control_message_gets_another_tag_and_discriminator() -> None:
    made = renamed(Error, "event", "failure")
    assert (discriminator_of(made), tags_of(made), made.__doc__) == ("event", ("failure",), Error.__doc__)
    assert made(code="x", detail="y", retryable=False).model_dump(exclude_none=True) == {  # type: ignore[call-arg]
        "event": "failure", "code": "x", "detail": "y", "retryable": False,
    }  # fmt: skip


def test_the_renamed_message_validates_as_the_original() -> None:
    made = renamed(Cancel, "type", "stop")
    for ref in (True, None, "x" * 65, 2**53 + 1):
        for model in (Cancel, made):
            with pytest.raises(ValidationError):
                model.model_validate({"ref": ref})
    assert made.model_validate({"ref": 7}).model_dump() == {"type": "stop", "ref": 7}


def test_an_error_lists_at_most_five_items() -> None:
    item = ErrorItem(loc=["a", 0], type="x", msg="y")
    assert Error(code="x", detail="y", retryable=False, errors=[item] * 5).errors == [item] * 5
    with pytest.raises(ValidationError, match="too_long"):
        Error(code="x", detail="y", retryable=False, errors=[item] * 6)


def test_ping_has_a_body_of_its_tag_alone() -> None:
    assert Ping().model_dump() == {"type": "ping"}
