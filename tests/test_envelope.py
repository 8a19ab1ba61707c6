import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import Envelope
from protocol.envelope import readable_id, splice
from protocol.types import Ref
from tests.misdeclared import refusal

ids = st.text(max_size=64) | st.integers(-(2**53), 2**53)


def test_the_names_of_each_direction() -> None:
    assert (Envelope().inbound, Envelope().outbound) == (("id", "key"), ("ref", "offset"))
    assert Envelope(key=None, offset="position").inbound == ("id",)
    assert Envelope(key=None, offset="position").outbound == ("ref", "position")


@pytest.mark.parametrize(
    "names, text",
    [
        ({"id": ""}, "Envelope(id=…) takes a non-empty string or None, not ''."),
        ({"ack": 1}, "Envelope(ack=…) takes a non-empty string or None, not 1."),
        ({"key": "id"}, "Envelope: id and key have the same name 'id'."),
        ({"offset": "ref"}, "Envelope: ref and offset have the same name 'ref'."),
        ({"ack": "error"}, "Envelope: ack and error have the same name 'error'."),
        ({"id": None}, "Envelope: id and ref go together: name both, or remove both."),
        ({"pong": None}, "Envelope: ping and pong go together: name both, or remove both."),
        ({"cancel": "ping"}, "Envelope: cancel and ping have the same name 'ping'."),
    ],
)
def test_names_that_cannot_work_are_refused(names: dict[str, str], text: str) -> None:
    assert refusal(lambda: Envelope(**names)) == text


@given(ids)
def test_a_spliced_member_is_the_last_of_the_object(id: Ref) -> None:
    body = splice(b'{"type":"say","text":"}"}', 'r"\\ü', id)
    assert orjson.loads(body) == {"type": "say", "text": "}", 'r"\\ü': id}


@given(ids)
def test_every_id_that_validates_is_readable(id: Ref) -> None:
    assert readable_id(id) == id


@pytest.mark.parametrize("value", [True, None, 1.5, [], "x" * 65, 2**53 + 1])
def test_what_is_no_id_is_not_read(value: object) -> None:
    assert readable_id(value) is None
