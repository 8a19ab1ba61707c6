"""Valid messages, as they come from a protocol."""

import json
from typing import Annotated, Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from pydantic import AfterValidator, Field

from protocol import Message, MessageProtocol
from protocol.fuzzing import Grammar, messages
from tests.misdeclared import refusal

RoomName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]


class Join(Message, type="join"):
    room: RoomName


class Say(Message, type="say"):
    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=4096)]


def even(number: int) -> int:
    if number % 2:
        raise ValueError("must be even")
    return number


def decoded(chat: MessageProtocol, message: dict[str, Any]) -> Message:
    model, _ = chat.registry.inbound.decode(json.dumps(message))
    assert isinstance(model, Message)
    return model


def test_every_message_is_valid() -> None:
    chat = MessageProtocol("Chat", receives=[Join, Say])

    @given(messages(chat))
    def check(message: dict[str, Any]) -> None:
        assert isinstance(decoded(chat, message), Join | Say)

    check()


@pytest.mark.parametrize("types", [(Join,), ("join",), (Join, "join")])
def test_types_are_chosen_by_class_or_tag(types: tuple[Any, ...]) -> None:
    @settings(max_examples=10)
    @given(messages(MessageProtocol("Chat", receives=[Join, Say]), *types))
    def check(message: dict[str, Any]) -> None:
        assert message["type"] == "join"

    check()


def test_control_messages_come_when_they_are_asked_for() -> None:
    chat = MessageProtocol("Chat", receives=[Join])
    assert find(messages(chat, "ping"), lambda message: True) == {"type": "ping"}


def test_shrinking_leaves_only_what_must_be() -> None:
    chat = MessageProtocol("Chat", receives=[Join, Say])
    found = find(messages(chat, Say), lambda message: len(message["text"]) > 3)
    assert found == {"type": "say", "room": "0", "text": "0000"}


def test_messages_carry_the_envelope() -> None:
    chat = MessageProtocol("Chat", receives=[Join])
    few = settings(phases=[Phase.generate])
    found = find(messages(chat), lambda message: {"id", "key"} <= message.keys(), settings=few)
    assert list(found) == ["type", "room", "id", "key"]


def test_messages_of_two_types_meet_in_a_room() -> None:
    chat = MessageProtocol("Chat", receives=[Join, Say])
    both = st.tuples(messages(chat, Join), messages(chat, Say))
    join, say = find(both, lambda pair: pair[0]["room"] == pair[1]["room"] != "0")
    assert join["room"] == say["room"]


def test_what_a_validator_refuses_is_not_yielded() -> None:
    class Even(Message, type="even"):
        number: Annotated[int, AfterValidator(even)]

    @settings(max_examples=30)
    @given(messages(MessageProtocol("Chat", receives=[Even])))
    def check(message: dict[str, Any]) -> None:
        assert message["number"] % 2 == 0

    check()


def test_what_is_always_refused_is_an_error_with_the_reason() -> None:
    def magic(text: str) -> str:
        if text != "open sesame":
            raise ValueError("wrong word")
        return text

    class Open(Message, type="open"):
        word: Annotated[str, AfterValidator(magic)]

    chat = MessageProtocol("Chat", receives=[Open])

    @settings(database=None, phases=[Phase.generate])
    @given(messages(chat))
    def never(message: dict[str, Any]) -> None:
        raise AssertionError(message)

    with pytest.raises(Unsatisfiable) as caught:
        never()
    text = str(caught.value)
    assert text.startswith("Only 0 of ")
    assert " generated 'open' messages were valid. The last one, {'type': 'open', 'word': " in text
    assert text.endswith(
        "was refused: word: Value error, wrong word Give a strategy for what the schema does not say: "
        "overrides={'open.field': …}."
    )
    word = find(messages(chat, overrides={Open: {"word": st.just("open sesame")}}), lambda message: True)
    assert word == {"type": "open", "word": "open sesame"}


def test_nothing_is_longer_than_a_frame() -> None:
    class Long(Message, type="long"):
        text: str

    chat = MessageProtocol("Chat", receives=[Long], max_frame=100)

    @given(messages(chat))
    def fits(message: dict[str, Any]) -> None:
        assert len(json.dumps(message, ensure_ascii=False).encode()) <= 100

    fits()


def test_a_protocol_that_receives_nothing_is_an_error() -> None:
    assert refusal(lambda: messages(Grammar({}, lambda frame: None))) == (
        "There is no message to generate: the protocol receives none."
    )
