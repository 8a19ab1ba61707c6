"""Messages, and what the union of them makes of a frame."""

from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from protocol import Envelope, Message, RemoteProtocolError
from protocol.registry import MessageUnion


class Say(Message, type="say"):
    room: str
    text: str


class Node(BaseModel):
    name: str
    children: list["Node"] = []


class Tree(Message, type="tree"):
    root: Node
    left: "Tree | None" = None


def inbound(*models: type[BaseModel], envelope: Envelope | None = None) -> MessageUnion:
    return MessageUnion(models, Envelope() if envelope is None else envelope, "inbound")


def body(**members: Any) -> str:
    return orjson.dumps(members).decode()


def failure(union: MessageUnion, frame: str | bytes) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        union.decode(frame)
    return caught.value
