import pytest

from protocol import JSON, MalformedFrame


def test_a_text_frame_is_one_body_to_the_letter() -> None:
    assert list(JSON.decode('{"a": 1}')) == ['{"a": 1}']
    assert (JSON.encode(b'{"a":1}'), JSON.text, repr(JSON)) == (b'{"a":1}', True, "JSON")


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(MalformedFrame) as caught:
        JSON.decode(b"{}")
    assert (str(caught.value), caught.value.frame) == ("Text frames are expected, not binary ones.", b"{}")
