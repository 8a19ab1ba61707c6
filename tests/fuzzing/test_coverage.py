"""Programs that need no luck."""

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from protocol import Message, MessageProtocol
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.coverage import boundaries
from protocol.testing.steps import Send
from tests.served import served


class Part(BaseModel):
    size: Annotated[int, Field(gt=3, lt=9)] = 5
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Look(Message, type="look", extra="forbid"):
    limit: int = Field(50, ge=1, le=100)
    words: list[Annotated[str, Field(max_length=2)]] = Field(default=["a"], min_length=1, max_length=3)
    part: Part = Part()
    mode: Literal["near", "far"] | None = None


class Node(BaseModel):
    children: list["Node"] = []


class Tree(Message, type="tree"):
    node: Node = Node()
    name: str = Field("", max_length=3)


class Long(Message, type="long"):
    text: str = Field("", max_length=5_000)


def sent(message: type[Message], **settings: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is sent of ``message`` on the boundaries, and just outside of them."""
    protocol = MessageProtocol("Desk", **settings)

    @protocol.on(message)
    async def handle(message: message) -> None: ...  # type: ignore[valid-type]

    app = served(protocol)
    contract = Contract.of(app)
    frames = [step.data for program in boundaries(contract) for step in program if isinstance(step, Send)]
    assert len(set(frames)) == len(frames)
    assert all(map(contract.grammar.fits, frames))
    inside = [json.loads(frame) for frame in frames if contract.objection(frame) is None]
    return inside, [json.loads(frame) for frame in frames if contract.objection(frame) is not None]


@pytest.fixture(scope="module")
def looks() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return sent(Look)


def test_every_boundary_of_every_field_is_sent_optional_or_not(looks: Any) -> None:
    inside, outside = looks
    assert inside[0] == {"type": "look"}
    assert {message["limit"] for message in inside[1:]} == {1, 100}
    assert {message["part"]["size"] for message in inside[1:]} == {4, 8}
    assert {message["part"]["share"] for message in inside[1:]} == {5e-324, 0.5, 1 - 2**-53}
    assert {len(message["words"]) for message in inside[1:]} == {1, 3}
    assert {message["mode"] for message in inside[1:]} == {None, "near", "far"}
    broken = [message for message in outside if isinstance(message, dict)]
    assert {0, 101} <= {each for message in broken if type(each := message.get("limit")) is int}
    sizes = [part.get("size") for message in broken if isinstance(part := message.get("part"), dict)]
    assert 3 in sizes
    assert 9 in sizes
    assert {0, 4} <= {len(each) for message in broken if isinstance(each := message.get("words"), list)}


def test_a_member_too_many_is_sent_once_for_each_object(looks: Any) -> None:
    _, outside = looks
    known = {"type", *Look.model_fields}
    assert len([message for message in outside if message.keys() - known]) == 1


def test_messages_do_not_share_a_key_by_which_one_is_applied_once(looks: Any) -> None:
    inside, _ = looks
    assert not [message for message in inside if message.keys() & {"id", "key"}]


def test_what_goes_on_within_itself_is_full_as_far_as_it_can_be() -> None:
    inside, _ = sent(Tree)
    assert {"type": "tree", "node": {}, "name": "aaa"} in inside


def test_nothing_is_sent_that_is_too_long_for_a_frame() -> None:
    inside, outside = sent(Long, max_frame=1_000)
    assert {"type": "long", "text": ""} in inside
    assert outside
