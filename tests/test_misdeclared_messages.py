"""Messages that cannot be told apart or read are refused, and the refusal says what to do."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field, RootModel

from protocol import Envelope, Message
from protocol.registry import MessageUnion
from tests.misdeclared import refusal


class Say(Message, type="say"):
    room: str
    text: str


def refused(*models: type[BaseModel], direction: Literal["inbound", "outbound"] = "inbound") -> str:
    return refusal(lambda: MessageUnion(models, Envelope(), direction))


def test_two_messages_with_one_tag_are_named() -> None:
    class Other(Message, type="say"):
        pass

    assert refused(Say, Other) == (
        f"Two inbound messages have the type 'say': Say ({__file__}) and {Other.__qualname__} ({__file__}). "
        "Rename one of them."
    )


@pytest.mark.parametrize("name", ["id", "key"])
def test_an_inbound_field_of_the_envelopes_name_is_refused(name: str) -> None:
    class Plain(BaseModel):
        type: Literal["plain"]
        value: int = Field(alias=name)  # type: ignore[literal-required]

    assert refused(Plain) == (
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
    assert "the field 'ref' collides with the envelope of outbound messages" in refused(
        Answer, direction="outbound"
    )


def test_messages_of_one_direction_share_a_discriminator() -> None:
    class Event(Message, discriminator="event"):
        pass

    class Tick(Event, type="tick"):
        pass

    assert refused(Say, Tick) == (
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

    assert "Rooted" in refused(Rooted)
    assert refused(Made) == (
        f"{Made.__qualname__} ({__file__}) cannot be a message: a message is a model with fields, "
        "without an __init__ of its own."
    )


def test_a_reference_to_nothing_is_named() -> None:
    class Lost(Message, type="lost"):
        friend: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    assert refused(Lost) == (
        f"{Lost.__qualname__} ({__file__}) refers to a type that is not defined: name 'Nowhere' is not defined. "
        "Define it before the handlers, or call Lost.model_rebuild() where it is known."
    )
