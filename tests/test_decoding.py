"""What a good frame becomes."""

import enum
import functools
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationInfo,
    computed_field,
    field_validator,
    model_validator,
)

from protocol import Envelope, Message, Request
from tests.unions import Node, Say, Tree, body, failure, inbound

T = TypeVar("T")


class Colour(enum.StrEnum):
    RED = "red"


def test_body_and_envelope_are_validated_together_and_told_apart() -> None:
    message, request = inbound(Say).decode(body(type="say", room="a", text="hi", id=7, key="k" * 16))
    assert message == Say(room="a", text="hi")
    assert message.model_fields_set == {"type", "room", "text"}
    assert request == Request(7, "k" * 16)


def test_without_an_envelope_nothing_is_asked() -> None:
    assert inbound(Say).decode(body(type="say", room="a", text="hi"))[1] == Request(None, None)


@pytest.mark.parametrize("kind", [str, bytes])
def test_text_and_bytes_are_decoded_alike(kind: type[str] | type[bytes]) -> None:
    text = body(type="say", room="a", text="NaN")
    message, _ = inbound(Say).decode(text if kind is str else text.encode())
    assert message == Say(room="a", text="NaN")


def test_envelope_fields_are_renamed_and_removed() -> None:
    union = inbound(Say, envelope=Envelope(id="request", ref="response", key=None))
    assert union.decode(body(type="say", room="a", text="hi", request="x"))[1] == Request("x", None)
    assert (
        failure(union, body(type="say", room="a", text="hi", key="k" * 16)).errors[0]["type"]
        == "extra_forbidden"
    )
    bare = inbound(Say, envelope=Envelope(id=None, ref=None, key=None))
    assert bare.decode(body(type="say", room="a", text="hi"))[1] == Request(None, None)


def test_values_follow_strict_json() -> None:
    class Meeting(Message, type="meeting"):
        at: datetime
        id_: UUID
        colour: Colour
        size: int
        note: str | None = None

    good = {
        "type": "meeting",
        "at": "2026-11-24T09:00:00Z",
        "id_": str(UUID(int=1)),
        "colour": "red",
        "size": 1,
    }
    message, _ = inbound(Meeting).decode(body(**good))
    assert message == Meeting(
        at=datetime(2026, 11, 24, 9, tzinfo=UTC), id_=UUID(int=1), colour=Colour.RED, size=1
    )
    assert (
        failure(inbound(Meeting), body(**{**good, "size": "1"})).detail
        == "size: Input should be a valid integer"
    )


def test_nested_and_recursive_models_with_shared_definitions() -> None:
    class Pair(Message, type="pair"):
        one: Node
        two: Tree

    union = inbound(Tree, Pair)
    tree = {"type": "tree", "root": {"name": "a", "children": [{"name": "b"}]}}
    message, request = union.decode(body(**tree, left=tree, id=1))
    assert message == Tree(root=Node(name="a", children=[Node(name="b")]), left=Tree(root=message.left.root))  # type: ignore[attr-defined]
    assert request.id == 1
    assert union.decode(body(type="pair", one={"name": "c"}, two=tree))[0].two.root.name == "a"  # type: ignore[attr-defined]


def test_only_the_outermost_message_has_an_envelope() -> None:
    error = failure(
        inbound(Tree), body(type="tree", root={"name": "a"}, left={"root": {"name": "a"}, "id": 1})
    )
    assert error.errors == [
        {"loc": ["left", "id"], "type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
    ]


def test_a_nested_union_generics_and_forward_references() -> None:
    class Box(Message, Generic[T], type="box"):
        content: T

    class Circle(BaseModel):
        kind: Literal["circle"]
        radius: float

    class Square(BaseModel):
        kind: Literal["square"]
        side: float

    class Draw(Message, type="draw"):
        shape: Annotated[Circle | Square, Field(discriminator="kind")]

    union = inbound(Box[int], Draw)
    assert union.decode(body(type="box", content=1))[0] == Box[int](content=1)
    message, _ = union.decode(body(type="draw", shape={"kind": "square", "side": 2.5}))
    assert message == Draw(shape=Square(kind="square", side=2.5))
    assert failure(union, body(type="draw", shape={"kind": "secret"})).detail == (
        "shape: Input does not match any of the expected tags"
    )


def test_aliases_and_choices_are_read() -> None:
    class Named(Message, type="named"):
        name: str = Field(validation_alias=AliasChoices("name", "nick"))

    assert inbound(Named).decode(body(type="named", nick="x", id=1)) == (Named(nick="x"), Request(1, None))  # type: ignore[call-arg]


def test_several_tags_of_one_model() -> None:
    class Light(Message):
        type: Literal["red", "green"]

    union = inbound(Light)
    assert [union.tag(union.decode(body(type=tag))[0]) for tag in ("red", "green")] == ["red", "green"]


def test_tags_of_an_enum() -> None:
    class Lamp(Message):
        type: Literal[Colour.RED] = Colour.RED

    union = inbound(Lamp)
    message, _ = union.decode(body(type="red"))
    assert (message, union.tag(message)) == (Lamp(), "red")


def test_validators_before_after_and_around_run_and_leave_the_envelope_alone() -> None:
    seen: list[str] = []

    class Careful(Message, type="careful"):
        text: str
        _secret: int = PrivateAttr(default=7)

        @field_validator("text", mode="before")
        @classmethod
        def strip(cls, value: Any) -> Any:
            return value.strip() if isinstance(value, str) else value

        @model_validator(mode="before")
        @classmethod
        def first(cls, values: Any, info: ValidationInfo) -> Any:
            seen.append(info.mode)
            return values

        @model_validator(mode="wrap")
        @classmethod
        def around(cls, values: Any, handler: ModelWrapValidatorHandler["Careful"]) -> "Careful":
            seen.append("wrap")
            return handler(values)

        @computed_field  # type: ignore[prop-decorator]
        @property
        def size(self) -> int:
            return len(self.text)

    message, request = inbound(Careful).decode(body(type="careful", text=" hi ", id="x"))
    assert isinstance(message, Careful)
    assert (message.text, message._secret, message.size, request) == ("hi", 7, 2, Request("x", None))
    assert seen == ["wrap", "json"]


def test_a_validator_that_returns_another_message_keeps_the_envelope() -> None:
    class Lower(Message, type="lower"):
        text: str

        @model_validator(mode="after")
        def lower(self) -> "Lower":
            return self if self.text.islower() else self.replace(text=self.text.lower())

    message, request = inbound(Lower).decode(body(type="lower", text="HI", id=5, key="k" * 16))
    assert (message, request) == (Lower(text="hi"), Request(5, "k" * 16))


def test_a_cached_property_of_a_validator_stays() -> None:
    class Parsed(Message, type="parsed"):
        text: str

        @functools.cached_property
        def words(self) -> list[str]:
            return self.text.split()

        @model_validator(mode="after")
        def check(self) -> "Parsed":
            assert self.words
            return self

    message, _ = inbound(Parsed).decode(body(type="parsed", text="a b", id=1))
    assert message.__dict__ == {"type": "parsed", "text": "a b", "words": ["a", "b"]}


def test_a_class_validates_alone_as_before() -> None:
    inbound(Say)
    with pytest.raises(ValueError, match="extra_forbidden"):
        Say.model_validate({"type": "say", "room": "a", "text": "hi", "id": 1})
    assert Say.model_validate_json(body(room="a", text="hi")) == Say(room="a", text="hi")


def test_the_tag_of_an_enum_is_its_value_where_there_are_several() -> None:
    class Kind(str, enum.Enum):  # noqa: UP042
        ON = "on"
        OFF = "off"

    class Switch(Message):
        type: Literal[Kind.ON, Kind.OFF]

    union = inbound(Switch)
    assert type(union.tag(union.decode(body(type="off"))[0])) is str
    assert union.tag(Switch(type=Kind.ON)) == "on"
