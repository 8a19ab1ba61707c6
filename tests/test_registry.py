"""What a protocol sends, what it takes in each direction, and the schemas of both."""

import orjson
import pytest
from pydantic import BaseModel, Field, computed_field

from protocol import Envelope, LocalProtocolError, Message
from protocol.registry import Registry
from tests.unions import Say, Tree, body, inbound


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
