import enum
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    ValidationError,
    computed_field,
    model_validator,
)

from protocol import ConfigurationError, Message
from protocol.messages import CLOSE, Slow, discriminator_of, replace, slow_policy, tags_of, wire_names
from tests.misdeclared import refusal

T = TypeVar("T")


class Join(Message, type="join"):
    room: str


def test_the_class_argument_and_the_field_are_the_same() -> None:
    class ByHand(Message):
        type: Literal["join"] = "join"
        room: str

    assert tags_of(Join) == tags_of(ByHand) == ("join",)
    assert Join(room="a").model_dump() == ByHand(room="a").model_dump() == {"type": "join", "room": "a"}


def test_a_plain_model_is_a_message_by_its_field() -> None:
    class Leave(BaseModel):
        type: Literal["leave"] = "leave"

    assert tags_of(Leave) == ("leave",)
    assert slow_policy(Leave) is CLOSE


def test_a_base_names_another_discriminator() -> None:
    class Event(Message, discriminator="event"):
        pass

    class Tick(Event, type="tick"):
        type: int

    assert discriminator_of(Tick) == "event"
    assert tags_of(Tick) == ("tick",)
    assert Tick(type=1).model_dump() == {"event": "tick", "type": 1}


def test_an_alias_of_the_tag_field_is_the_discriminator() -> None:
    class Tick(BaseModel):
        kind: Literal["tick"] = Field(default="tick", alias="@type")

    class Typed(Message):
        type: Literal["typed"] = Field(default="typed", alias="@type")

    with pytest.raises(ConfigurationError, match="Tick has no tag"):
        tags_of(Tick)
    assert discriminator_of(Typed) == "@type"
    assert tags_of(Typed) == ("typed",)


def test_a_subclass_has_its_parents_tag_or_one_of_its_own() -> None:
    class Quiet(Join):
        pass

    class Loud(Join, type="loud"):
        pass

    assert (tags_of(Quiet), tags_of(Loud)) == (("join",), ("loud",))


def test_several_tags_and_those_of_an_enum() -> None:
    class Kind(enum.StrEnum):
        ON = "on"
        OFF = "off"

    class Switch(Message):
        type: Literal[Kind.ON, Kind.OFF]

    class Light(Message):
        type: Literal["red", "green"]

    assert tags_of(Switch) == ("on", "off")
    assert tags_of(Light) == ("red", "green")


def test_a_generic_message_has_its_tag_with_every_parameter() -> None:
    class Box(Message, Generic[T], type="box"):
        content: T

    assert tags_of(Box[int]) == ("box",)
    with pytest.raises(ValidationError):
        Box[int](content="1")  # type: ignore[arg-type]


def test_messages_are_frozen_strict_and_closed() -> None:
    message = Join(room="a")
    with pytest.raises(ValidationError, match="frozen_instance"):
        message.room = "b"
    with pytest.raises(ValidationError, match="string_type"):
        Join(room=1)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Join(room="a", more=1)  # type: ignore[call-arg]


def test_a_model_may_override_the_configuration() -> None:
    class Open(Message, type="open"):
        model_config = {"extra": "allow", "strict": False}
        number: int

    assert Open.model_validate({"number": "1", "more": 2}).replace(number=3).model_dump() == {
        "type": "open", "number": 3, "more": 2,
    }  # fmt: skip


def test_replace_is_a_validated_copy() -> None:
    message = Join(room="a")
    assert message.replace(room="b") == Join(room="b")
    assert message == Join(room="a")
    with pytest.raises(ValidationError, match="string_type"):
        message.replace(room=1)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        message.replace(rom="b")


def test_replace_goes_by_field_name_past_aliases_computed_fields_and_cached_properties() -> None:
    class Area(Message, type="area"):
        width: int = Field(alias="w")

        @cached_property
        def double(self) -> int:
            return self.width * 2

        @computed_field  # type: ignore[prop-decorator]
        @property
        def half(self) -> int:
            return self.width // 2

    area = Area(w=4)
    assert area.double == 8
    assert area.replace(width=6).double == 12
    assert area.replace(width=6).half == 3


def test_replace_takes_fields_of_any_name() -> None:
    class Note(Message, type="note"):
        message: str

    assert Note(message="a").replace(message="b") == Note(message="b")


def test_replace_works_inside_a_validator() -> None:
    class Name(Message, type="name"):
        name: str

        @model_validator(mode="after")
        def shorten(self) -> "Name":
            return self if len(self.name) < 3 else self.replace(name=self.name[:2])

    assert replace(Name(name="a"), name="abcd").name == "ab"


def test_wire_names_are_all_that_a_field_is_read_from_or_written_to() -> None:
    class Named(BaseModel):
        plain: int
        aliased: int = Field(validation_alias="in", serialization_alias="out")
        chosen: int = Field(validation_alias=AliasChoices("one", AliasPath("two", 0)))
        deep: int = Field(validation_alias=AliasPath("path", "to"))

    assert wire_names(Named, "inbound") == {"plain", "in", "one", "two", "path"}
    assert wire_names(Named, "outbound") == {"plain", "out", "chosen", "deep"}


def test_a_slow_policy_is_inherited_and_may_be_taken_back() -> None:
    class Tick(Message, type="tick", slow="latest", slow_key="symbol"):
        symbol: str

    class Trade(Tick, type="trade", slow="close"):
        pass

    class Quote(Tick, type="quote"):
        pass

    assert slow_policy(Tick) == slow_policy(Quote) == Slow("latest", "symbol")
    assert slow_policy(Trade) is CLOSE


@pytest.mark.parametrize(
    "annotations, options, text",
    [
        ({"type": Literal["x"]}, {"type": "x"}, "Tick has both the class argument type='x' and a field 'type': keep one of them."),
        ({}, {"type": ""}, "Tick: type must be a non-empty string, not ''."),
        ({}, {"discriminator": "@type"}, "Tick: the discriminator must be a field name, not '@type'."),
        ({}, {"type": "tick", "slow": "sometimes"}, "Tick: slow must be one of close, drop_oldest, latest, not 'sometimes'."),
        ({}, {"type": "tick", "slow": "drop_oldest", "slow_key": "symbol"}, "Tick: slow_key goes with slow='latest' only."),
        ({}, {"type": "tick", "slow": "latest", "slow_key": "symbol"}, "Tick: slow_key 'symbol' is not a field of the message."),
        (
            {"tags": list[str]}, {"type": "tick", "slow": "latest", "slow_key": "tags"},
            "Tick: slow_key 'tags' cannot be hashed: name a field with a simple value.",
        ),
        (
            {"tags": tuple[str, list[str] | None]}, {"type": "tick", "slow": "latest", "slow_key": "tags"},
            "Tick: slow_key 'tags' cannot be hashed: name a field with a simple value.",
        ),
    ],
)  # fmt: skip
def test_misdeclared_classes_say_what_to_do(annotations: Any, options: Any, text: str) -> None:
    members = {"__annotations__": annotations}
    assert refusal(lambda: type("Tick", (Message,), members, **options)) == text


def test_a_model_without_a_tag_says_how_to_give_it_one() -> None:
    class Bare(BaseModel):
        pass

    class Number(BaseModel):
        type: Literal[1] = 1

    assert refusal(lambda: tags_of(Bare)) == (
        f"{Bare.__qualname__} has no tag: write class Bare(Message, type='…'), or a field type: Literal['…'] = '…'."
    )
    assert refusal(lambda: tags_of(Number)) == f"{Number.__qualname__}: a tag must be a string, not 1."


def test_a_tag_of_an_enum_whose_members_are_no_strings_is_refused() -> None:
    class Kind(enum.Enum):
        ON = "on"

    class Switch(Message):
        type: Literal[Kind.ON] = Kind.ON

    assert refusal(lambda: tags_of(Switch)) == (
        f"{Switch.__qualname__}: a tag must be a string, not <Kind.ON: 'on'>; make its enum a StrEnum."
    )
