"""Strategies of the user's own, and where they go."""

from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from protocol import Message, MessageProtocol
from protocol.fuzzing import Grammar, messages
from tests.misdeclared import refusal

RoomName = Annotated[str, Field(pattern="^[a-z]+$")]


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Author(BaseModel):
    name: str
    id: UUID


class Say(Message, type="say"):
    room: RoomName
    text: str
    at: datetime
    author: Author
    colour: Colour
    also: list[Author] = []


class Move(Message, type="move"):
    source: RoomName
    target: RoomName
    x_offset: int = Field(alias="x-offset")


def protocol() -> MessageProtocol:
    return MessageProtocol("Chat", receives=[Say, Move])


def drawn(overrides: dict[Any, Any], *types: type[BaseModel] | str) -> list[dict[str, Any]]:
    """Some of the messages, as they come."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=20, database=None)
    @given(messages(protocol(), *types, overrides=overrides))
    def collect(message: dict[str, Any]) -> None:
        found.append(message)

    collect()
    return found


@pytest.mark.parametrize("key", [Say, "Say", "say"])
def test_fields_go_under_their_class_its_name_or_its_tag(key: Any) -> None:
    assert {message["text"] for message in drawn({key: {"text": st.just("hello")}}, Say)} == {"hello"}


@pytest.mark.parametrize("key", ["Say.text", "say.text", "*.text"])
def test_a_field_has_a_name_of_its_own(key: str) -> None:
    assert {message["text"] for message in drawn({key: st.just("hello")}, Say)} == {"hello"}


@pytest.mark.parametrize("key", ["Author.name", "*.name"])
def test_nested_models_have_fields_too(key: str) -> None:
    found = drawn({key: st.just("alice")}, Say)
    assert {
        author["name"] for message in found for author in (message["author"], *message.get("also", ()))
    } == {"alice"}


def test_the_name_on_the_wire_counts() -> None:
    assert {message["x-offset"] for message in drawn({Move: {"x-offset": st.just(5)}}, Move)} == {5}


def test_a_type_stands_for_every_place_of_its_schema() -> None:
    rooms = st.sampled_from(["general", "random"])
    found = drawn({RoomName: rooms, UUID: st.just(UUID(int=1)), Colour: st.just(Colour.GREEN)})
    assert {
        name for message in found for key in ("room", "source", "target") if (name := message.get(key))
    } <= {"general", "random"}
    said = [message for message in found if message["type"] == "say"]
    assert {message["author"]["id"] for message in said} == {"00000000-0000-0000-0000-000000000001"}
    assert {message["colour"] for message in said} == {"green"}


def test_a_model_can_be_given_as_a_whole() -> None:
    author = Author(name="alice", id=UUID(int=1))
    assert {message["author"]["name"] for message in drawn({Author: st.just(author)}, Say)} == {"alice"}


def test_a_format_is_a_key() -> None:
    at = "2024-02-29T00:00:00Z"
    assert {message["at"] for message in drawn({datetime: st.just(at)}, Say)} == {at}
    ids = [UUID(message["author"]["id"]) for message in drawn({"uuid": st.uuids(version=4)}, Say)]
    assert {id.version for id in ids} == {4}
    schema = {
        "properties": {"type": {"const": "call"}, "phone": {"type": "string", "format": "phone"}},
        "required": ["phone"],
    }
    grammar = Grammar.from_schemas({"call": schema})
    assert find(messages(grammar, overrides={"phone": st.just("+49 30 1")}), lambda message: True) == {
        "type": "call",
        "phone": "+49 30 1",
    }


def test_a_place_is_nearer_than_a_type_and_a_name_nearer_than_any() -> None:
    found = drawn({RoomName: st.just("type"), "*.room": st.just("any"), "Say.room": st.just("place")}, Say)
    assert {message["room"] for message in found} == {"place"}


@pytest.mark.parametrize(
    "overrides, text",
    [
        ({"Say.txt": st.text()}, "'Say.txt'. Did you mean 'Say.text' or 'say.text'?"),
        ({Say: {"txt": st.text()}}, "'Say.txt'. Did you mean 'Say.text' or 'say.text'?"),
        ({"Sie.wort": st.text()}, "'Sie.wort'."),
        ({"uid": st.text()}, "the format 'uid'. Did you mean 'uuid'?"),
        ({IPv4Address: st.ip_addresses()}, "the type IPv4Address."),
    ],
)
def test_an_override_without_a_place_is_an_error(overrides: dict[Any, Any], text: str) -> None:
    assert refusal(lambda: messages(protocol(), Say, overrides=overrides)) == (
        f"overrides: no message has a place for {text}"
    )


def test_an_override_must_be_a_strategy() -> None:
    assert refusal(lambda: messages(protocol(), overrides={"Say.text": "hello"})) == (  # type: ignore[dict-item]
        "overrides: 'Say.text' needs a hypothesis strategy, not 'hello'."
    )
    assert refusal(lambda: messages(protocol(), overrides={5: {"text": st.text()}})) == (
        "overrides: fields go under a class or its name, not 5."
    )
