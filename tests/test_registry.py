import enum
import functools
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import orjson
import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    RootModel,
    ValidationInfo,
    computed_field,
    field_validator,
    model_validator,
)

from protocol import (
    ConfigurationError,
    Envelope,
    InvalidMessage,
    LocalProtocolError,
    MalformedFrame,
    Message,
    ProtocolError,
    RemoteProtocolError,
    Request,
    UnknownType,
)
from protocol.registry import MessageUnion, Registry

T = TypeVar("T")


class Say(Message, type="say"):
    room: str
    text: str


class Node(BaseModel):
    name: str
    children: list["Node"] = []


class Tree(Message, type="tree"):
    root: Node
    left: "Tree | None" = None


class Colour(enum.StrEnum):
    RED = "red"


def inbound(*models: type[BaseModel], envelope: Envelope | None = None) -> MessageUnion:
    return MessageUnion(models, Envelope() if envelope is None else envelope, "inbound")


def body(**members: Any) -> str:
    return orjson.dumps(members).decode()


def failure(union: MessageUnion, frame: str | bytes) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        union.decode(frame)
    return caught.value


# Decoding.


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


# What bad input gets.


@pytest.mark.parametrize(
    "frame",
    ["", " ", "[", "[]", "1", '""', "null", "x", "{", '{"type":"say"', '{"type":"say"} x', "[" * 30_000, '{"a":' * 10_000,
     '{"type":"say","room":"a","text":"\\ud800"}', '{"type":"say","room":"a","text":"\ud800"}', b'{"type":"\xff"}'],
)  # fmt: skip
def test_what_is_no_json_object_is_malformed(frame: str | bytes) -> None:
    error = failure(inbound(Say), frame)
    assert isinstance(error, MalformedFrame)
    assert error.detail in {"The frame is not valid JSON.", "The frame is not a JSON object."}
    assert (error.id, list(error.errors), error.frame) == (None, [], frame)


@pytest.mark.parametrize("tag", [1, None, [], {}, True, "sing", "", "__proto__", "x" * 60_000])
def test_a_tag_that_is_not_received_is_unknown(tag: object) -> None:
    error = failure(inbound(Say), body(type=tag, id=3))
    assert isinstance(error, UnknownType)
    assert error.detail == "The 'type' of the message is not one that is received."
    assert (error.id, list(error.errors)) == (3, [])


def test_a_missing_tag_is_unknown() -> None:
    error = failure(inbound(Say), body(room="a", id="x"))
    assert isinstance(error, UnknownType)
    assert (error.detail, error.id) == ("The message has no 'type'.", "x")


def test_a_protocol_that_receives_nothing_knows_no_type() -> None:
    error = failure(inbound(), body(type="say", id=1))
    assert isinstance(error, UnknownType)
    assert error.id == 1


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_not_json_are_invalid_everywhere(constant: str) -> None:
    class Loose(BaseModel):
        type: Literal["loose"]
        value: Any = None
        number: float = 0

    for field in ("value", "number"):
        text = f'{{"type":"loose","{field}":{constant},"id":4}}'
        for frame in (text, text.encode()):
            error = failure(inbound(Loose), frame)
            assert isinstance(error, InvalidMessage)
            assert (error.detail, error.id, error.frame) == ("NaN and Infinity are not JSON.", 4, frame)


@pytest.mark.parametrize("id", [True, None, 1.5, [], {}, "x" * 65, 2**53 + 1, -(2**53) - 1, 10**400])
def test_an_invalid_id_is_named_and_not_answered_to(id: object) -> None:
    frame = f'{{"type":"say","room":"a","text":"hi","id":{id if isinstance(id, int) and id is not True else body(x=id)[5:-1]}}}'
    error = failure(inbound(Say), frame)
    text = "Input should be a string of at most 64 characters, or an integer within ±2^53"
    assert isinstance(error, InvalidMessage)
    assert (error.detail, error.id) == (f"id: {text}", None)
    assert error.errors == [{"loc": ["id"], "type": "invalid_id", "msg": text}]


@pytest.mark.parametrize("id", ["", "x" * 64, 0, 2**53, -(2**53)])
def test_a_valid_id_comes_back_as_it_is(id: str | int) -> None:
    assert inbound(Say).decode(body(type="say", room="a", text="hi", id=id))[1] == Request(id, None)


def test_an_invalid_key_is_named() -> None:
    error = failure(inbound(Say), body(type="say", room="a", text="hi", key="short", id=1))
    assert (error.detail, error.id) == ("key: String should have at least 16 characters", 1)


def test_of_a_duplicate_member_the_last_wins() -> None:
    message, request = inbound(Say).decode(
        '{"type":"x","type":"say","room":"a","room":"b","text":"","id":1,"id":2}'
    )
    assert (message, request) == (Say(room="b", text=""), Request(2, None))


def test_a_place_that_the_schema_does_not_know_is_not_shown() -> None:
    class Table(Message, type="table"):
        cells: dict[str, int]

    union = inbound(Table)
    assert failure(union, body(type="table", cells={}, __proto__=1)).errors == [
        {"loc": ["?"], "type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
    ]
    assert (
        failure(union, body(type="table", cells={"secret": "x"})).detail
        == "cells.?: Input should be a valid integer"
    )


@pytest.mark.parametrize("count", [5, 999, 1000, 5000, 16_000])
def test_of_many_wrong_items_five_are_told(count: int) -> None:
    class Numbers(Message, type="numbers"):
        items: list[int]

    error = failure(inbound(Numbers), body(type="numbers", items=["secret"] * count, id=1))
    assert isinstance(error, InvalidMessage)
    assert (error.detail, error.id) == ("items.0: Input should be a valid integer", 1)
    assert error.errors == [
        {"loc": ["items", index], "type": "int_type", "msg": "Input should be a valid integer"}
        for index in range(5)
    ]


def test_many_wrong_items_in_a_place_too_long_to_tell_are_one_error() -> None:
    class Table(Message, type="table"):
        rows: dict[str, list[int]]

    error = failure(inbound(Table), body(type="table", rows={"x" * 20_000: [""] * 2000}))
    assert error.errors == [{"loc": [], "type": "too_many", "msg": "Too many errors"}]


# Encoding.


def test_outbound_messages_are_written_by_alias_wherever_it_stands() -> None:
    class Inner(BaseModel):
        name: str = Field(alias="Name")

    class Plain(Message, type="plain"):
        inner: Inner

    class Sized(Message, type="sized"):
        @computed_field(alias="Size")  # type: ignore[prop-decorator]
        @property
        def size(self) -> int:
            return 1

    registry = Registry([], [Plain, Sized], Envelope())
    assert registry.encode(Plain(inner=Inner(Name="x"))) == b'{"type":"plain","inner":{"Name":"x"}}'
    assert registry.encode(Sized()) == b'{"type":"sized","Size":1}'


def test_what_is_not_declared_cannot_be_sent() -> None:
    class Loud(Say):
        pass

    registry = Registry([Say], [Say], Envelope())
    for use in (registry.encode, registry.tag):
        with pytest.raises(LocalProtocolError) as caught:
            use(Loud(room="a", text="hi"))
        assert str(caught.value) == (
            f"{Loud.__qualname__} is not declared as an outbound message: "
            "name it in emits= of the handler, or in sends= of the protocol."
        )


def test_one_tag_has_a_shape_of_its_own_in_each_direction() -> None:
    class Said(Message, type="say"):
        user: str

    registry = Registry([Say], [Said], Envelope())
    assert registry.inbound.decode(body(type="say", room="a", text="hi"))[0] == Say(room="a", text="hi")
    assert registry.encode(Said(user="bob")) == b'{"type":"say","user":"bob"}'


def test_the_slow_policy_is_found_by_message_and_by_tag() -> None:
    class Tick(Message, type="tick", slow="latest", slow_key="symbol"):
        symbol: str

    registry = Registry([], [Tick, Say], Envelope())
    assert registry.slow(Tick(symbol="x")) == registry.slow_of("tick")
    assert registry.slow_of("tick").policy == "latest"
    assert registry.slow_of("say").policy == registry.slow_of("no such tag").policy == "close"


# Schemas.


def test_the_schema_shows_body_and_envelope_as_one() -> None:
    schema = Registry([Say], [Say], Envelope(id="request", ref="response")).inbound.schema("say")
    assert list(schema["properties"]) == ["type", "room", "text", "request", "key"]
    assert schema["required"] == ["type", "room", "text"]
    assert schema["properties"]["type"] == {"const": "say", "type": "string"}
    assert schema["properties"]["key"] == {"type": "string", "minLength": 16, "maxLength": 64}
    assert schema["additionalProperties"] is False


def test_the_outbound_schema_has_ref_and_offset() -> None:
    schema = Registry([Say], [Say], Envelope()).outbound.schema("say")
    assert list(schema["properties"]) == ["type", "room", "text", "ref", "offset"]


def test_the_schema_of_a_recursive_message_is_an_object_with_definitions() -> None:
    schema = inbound(Tree).schemas()["tree"]
    assert set(schema["properties"]) == {"type", "root", "left", "id", "key"}
    assert "id" not in schema["$defs"]["Tree"]["properties"]


# Misdeclarations.


def refusal(*models: type[BaseModel], direction: Literal["inbound", "outbound"] = "inbound") -> str:
    with pytest.raises(ConfigurationError) as caught:
        MessageUnion(models, Envelope(), direction)
    return str(caught.value)


def test_two_messages_with_one_tag_are_named() -> None:
    class Other(Message, type="say"):
        pass

    assert refusal(Say, Other) == (
        f"Two inbound messages have the type 'say': Say ({__file__}) and {Other.__qualname__} ({__file__}). "
        "Rename one of them."
    )


@pytest.mark.parametrize("name", ["id", "key"])
def test_an_inbound_field_of_the_envelopes_name_is_refused(name: str) -> None:
    class Plain(BaseModel):
        type: Literal["plain"]
        value: int = Field(alias=name)  # type: ignore[literal-required]

    assert refusal(Plain) == (
        f"{Plain.__qualname__} ({__file__}): the field {name!r} collides with the envelope of inbound messages. "
        "Rename the field, or rename or remove the envelope's: MessageProtocol(…, envelope=Envelope(…))."
    )
    MessageUnion([Plain], Envelope(), "outbound")


def test_an_outbound_field_may_be_named_offset_but_not_ref() -> None:
    class Page(Message, type="page"):
        offset: int

    class Answer(Message, type="answer"):
        ref: int

    MessageUnion([Page], Envelope(), "outbound")
    MessageUnion([Page], Envelope(id=None, ref=None), "outbound")
    assert "the field 'ref' collides with the envelope of outbound messages" in refusal(
        Answer, direction="outbound"
    )


def test_messages_of_one_direction_share_a_discriminator() -> None:
    class Event(Message, discriminator="event"):
        pass

    class Tick(Event, type="tick"):
        pass

    assert refusal(Say, Tick) == (
        f"All inbound messages need the same discriminator: Say ({__file__}) has 'type', "
        f"{Tick.__qualname__} ({__file__}) has 'event'."
    )


def test_what_has_no_fields_of_its_own_is_no_message() -> None:
    class Rooted(RootModel[int]):
        pass

    class Made(BaseModel):
        type: Literal["made"] = "made"

        def __init__(self) -> None:
            super().__init__()

    assert "Rooted" in refusal(Rooted)
    assert refusal(Made) == (
        f"{Made.__qualname__} ({__file__}) cannot be a message: a message is a model with fields, "
        "without an __init__ of its own."
    )


def test_a_reference_to_nothing_is_named() -> None:
    class Lost(Message, type="lost"):
        friend: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    assert refusal(Lost) == (
        f"{Lost.__qualname__} ({__file__}) refers to a type that is not defined: name 'Nowhere' is not defined. "
        "Define it before the handlers, or call Lost.model_rebuild() where it is known."
    )


def test_every_refusal_is_a_protocol_error_and_never_pydantics() -> None:
    for frame in ("{}", body(type="say"), "[1]", '{"type":"say","room":"a","text":NaN}'):
        with pytest.raises(ProtocolError):
            inbound(Say).decode(frame)


def test_an_outbound_message_reads_what_it_writes() -> None:
    class Priced(Message, type="priced"):
        net: int = Field(serialization_alias="netPrice")
        tax: int = Field(default=0, validation_alias="vat")

        @computed_field
        def gross(self) -> int:
            return self.net + self.tax

    registry = Registry((), (Priced,), Envelope())
    body = registry.encode(Priced(net=100, vat=19))  # type: ignore[call-arg]
    assert orjson.loads(body) == {"type": "priced", "netPrice": 100, "tax": 19, "gross": 119}
    message, _ = registry.outbound.decode(body)
    assert message == Priced(net=100, vat=19)  # type: ignore[call-arg]
    assert message.model_fields_set == {"type", "net", "tax"}
    assert registry.encode(message) == body
    assert list(registry.outbound.schema("priced")["properties"]) == [
        "type", "netPrice", "tax", "ref", "offset", "gross",
    ]  # fmt: skip
