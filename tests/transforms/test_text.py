"""Which fields the transforms of text reach, what they leave alone, and what an edit that breaks a rule raises."""

import enum
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, ValidationError
from typing_extensions import TypeAliasType, TypedDict

from protocol.messages import Message
from protocol.transforms import TextTransform, Trim, Uppercase
from tests.misdeclared import refusal

T = TypeVar("T")


class Say(Message, type="say"):
    text: str


def test_uppercase_changes_a_copy() -> None:
    message = Say(text="hi, Jörg")
    assert Uppercase()(message) == Say(text="HI, JÖRG")
    assert message.text == "hi, Jörg"


def test_trim_removes_white_space_at_both_ends_only() -> None:
    assert Trim()(Say(text="\u2003 a \t b\r\n")) == Say(text="a \t b")
    assert Trim()(Say(text="\u200ba")) == Say(text="\u200ba")


@pytest.mark.parametrize("transform", [Uppercase(), Trim()])
def test_a_message_that_does_not_change_is_returned_itself(transform: TextTransform) -> None:
    message = Say(text="HI")
    assert transform(message) is message


def test_a_message_that_does_not_change_is_not_validated() -> None:
    message = Say.model_construct(text=5)
    assert Uppercase()(message) is message


@given(st.text())
def test_edits_are_idempotent(text: str) -> None:
    for transform in (Uppercase(), Trim()):
        once = transform(Say(text=text))
        assert transform(once) is once


def test_an_edit_that_breaks_a_constraint_raises_what_validation_raises() -> None:
    class Note(Message, type="note"):
        text: Annotated[str, Field(min_length=1, max_length=3)]

    with pytest.raises(ValidationError) as caught:
        Trim()(Note(text="   "))
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [
        (("text",), "string_too_short")
    ]
    with pytest.raises(ValidationError) as caught:
        Uppercase()(Note(text="aßa"))
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [
        (("text",), "string_too_long")
    ]


def test_an_edit_that_breaks_a_constraint_inside_a_nested_model_raises_too() -> None:
    class Item(Message):
        title: Annotated[str, Field(min_length=1)]

    class Post(Message, type="post"):
        items: list[Item]

    with pytest.raises(ValidationError) as caught:
        Trim()(Post(items=[Item(title=" ")]))
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [
        (("title",), "string_too_short")
    ]


def test_text_is_found_wherever_str_stands() -> None:
    class Item(Message):
        id: int
        title: str

    class Everything(Message, type="everything"):
        plain: str
        maybe: str | None
        old: Optional[str]  # noqa: UP045
        either: int | str
        limited: Annotated[str, StringConstraints(max_length=9), Field(description="…")]
        aliased: str = Field(alias="as")
        listed: list[str]
        sequence: Sequence[str]
        pair: tuple[int, str]
        many: tuple[str, ...]
        unique: frozenset[str]
        table: dict[str, str]
        mapping: Mapping[str, list[str]]
        item: Item
        items: list[Item | None]
        root: RootModel[list[str]]
        defaulted: str = "d"

    message = Everything.model_validate_json(
        '{"plain":"a","maybe":"b","old":null,"either":"c","limited":"e","as":"f","listed":["g"],"sequence":["h"],'
        '"pair":[1,"i"],"many":["j","k"],"unique":["l"],"table":{"m":"n"},"mapping":{"o":["p"]},'
        '"item":{"id":1,"title":"q"},"items":[null,{"id":2,"title":"r"}],"root":["s"]}'
    )
    assert Uppercase().covers(Everything) == tuple(name for name in Everything.model_fields if name != "type")
    assert Uppercase()(message).model_dump(mode="json", by_alias=True) == {
        "type": "everything",
        "plain": "A",
        "maybe": "B",
        "old": None,
        "either": "C",
        "limited": "E",
        "as": "F",
        "listed": ["G"],
        "sequence": ["H"],
        "pair": [1, "I"],
        "many": ["J", "K"],
        "unique": ["L"],
        "table": {"m": "N"},
        "mapping": {"o": ["P"]},
        "item": {"id": 1, "title": "Q"},
        "items": [None, {"id": 2, "title": "R"}],
        "root": ["S"],
        "defaulted": "D",
    }


class Colour(enum.StrEnum):
    RED = "red"


@dataclass
class Point:
    label: str


class Options(TypedDict):
    label: str


UserId = NewType("UserId", str)


def test_names_of_something_and_foreign_structures_are_left_alone() -> None:
    class Numbers(Message):
        values: list[int]

    class Nothing(Message, type="nothing"):
        room: Annotated[str, Field(pattern="^[a-z]+$")]
        recipient: str | None = Field(pattern="^[a-z]+$")
        tags: list[Annotated[str, StringConstraints(pattern="^[a-z]+$")]]
        maybe: Annotated[str, Field(pattern="^[a-z]+$")] | None
        kind: Literal["a", "b"]
        colour: Colour
        colours: list[Colour]
        user: UserId
        id: UUID
        keys: dict[str, int]
        numbers: Numbers
        point: Point
        options: Options
        anything: Any

    assert Uppercase().covers(Nothing) == ()
    message = Nothing(
        room="a",
        recipient="b",
        tags=["c"],
        maybe="d",
        kind="a",
        colour=Colour.RED,
        colours=[Colour.RED],
        user=UserId("e"),
        id=UUID(int=10),
        keys={"f": 1},
        numbers=Numbers(values=[1]),
        point=Point("g"),
        options={"label": "h"},
        anything="i",
    )
    assert Uppercase()(message) is message


def test_an_enum_beside_text_is_left_alone() -> None:
    class Paint(Message, type="paint"):
        colour: Colour | str

    assert Uppercase()(Paint(colour="red")) == Paint(colour="RED")
    message = Paint(colour=Colour.RED)
    assert Uppercase()(message) is message


def test_fields_narrow_what_is_covered() -> None:
    class Private(Message, type="private"):
        to: str
        text: str

    transform = Uppercase(fields=["text", "subject"])
    assert transform.covers(Private) == ("text",)
    assert transform(Private(to="bob", text="hi")) == Private(to="bob", text="HI")


def test_fields_name_those_of_the_message_and_everything_inside_them() -> None:
    class Item(Message):
        title: str

    class Post(Message, type="post"):
        title: str
        item: Item

    assert Uppercase(fields=["item"])(Post(title="a", item=Item(title="b"))) == Post(
        title="a", item=Item(title="B")
    )


def test_fields_must_be_a_collection() -> None:
    assert refusal(lambda: Trim(fields="text")) == (
        "fields is a collection of field names: write fields=('text',)."
    )


class Tree(Message, type="tree"):
    label: str
    children: "list[Tree]" = []


class Numbered(Message, type="numbered"):
    number: int
    children: "list[Numbered]" = []


def test_recursive_models_are_edited_at_every_depth() -> None:
    assert Uppercase().covers(Tree) == ("label", "children")
    assert Uppercase().covers(Numbered) == ()
    tree = Tree(label="A", children=[Tree(label="B", children=[Tree(label="c")]), Tree(label="D")])
    changed = Uppercase()(tree)
    assert changed == Tree(label="A", children=[Tree(label="B", children=[Tree(label="C")]), Tree(label="D")])
    assert changed.children[1] is tree.children[1]


Text = TypeAliasType("Text", Annotated[str, Field(max_length=5)])
Name = TypeAliasType("Name", Annotated[str, Field(pattern="^[a-z]+$")])
Many = TypeAliasType("Many", list[T], type_params=(T,))
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | None")


def test_aliases_of_types_are_looked_through() -> None:
    class Aliased(Message, type="aliased"):
        text: Text
        name: Name
        json_: Json
        many: Many[str]
        numbers: Many[int]

    assert Uppercase().covers(Aliased) == ("text", "json_", "many")
    message = Aliased(text="a", name="b", json_={"c": ["d", None]}, many=["e"], numbers=[1])
    assert Uppercase()(message) == Aliased(
        text="A", name="b", json_={"c": ["D", None]}, many=["E"], numbers=[1]
    )


def test_what_is_not_resolved_yet_may_be_text() -> None:
    class Early(Message, type="early"):
        later: "Later"
        ready: int

    assert Uppercase().covers(Early) == ("later",)

    class Later(Message):
        number: int

    Early.model_rebuild()
    assert Uppercase().covers(Early) == ()


def test_generic_models_are_covered_by_their_arguments() -> None:
    class Box(Message, Generic[T]):
        value: T

    class Boxes(Message, type="boxes"):
        text: Box[str]
        number: Box[int]

    assert Uppercase().covers(Boxes) == ("text",)
    boxes = Boxes(text=Box[str](value="a"), number=Box[int](value=1))
    assert Uppercase()(boxes) == Boxes(text=Box[str](value="A"), number=Box[int](value=1))


def test_a_plain_model_is_copied_and_validated_too() -> None:
    class Plain(BaseModel):
        model_config = ConfigDict(extra="allow")
        type: Literal["plain"] = "plain"
        text: Annotated[str, Field(max_length=2)]

    message = Plain.model_validate({"text": "a", "more": "b"})
    changed = Uppercase()(message)
    assert changed.text == "A"
    assert message.text == "a"
    assert changed.model_extra == {"more": "b"}
    with pytest.raises(ValidationError):
        Uppercase()(Plain(text="ßa"))


def test_an_edit_of_ones_own_needs_one_method() -> None:
    class Reverse(TextTransform):
        def edit(self, text: str) -> str:
            return text[::-1]

    assert Reverse()(Say(text="abc")) == Say(text="cba")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is Python 3.12")
def test_the_type_statement_is_looked_through() -> None:
    namespace: dict[str, Any] = {"Message": Message}
    exec("type Text = str | None\nclass Say(Message, type='say'):\n    text: Text", namespace)
    assert Uppercase().covers(namespace["Say"]) == ("text",)
