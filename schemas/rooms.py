"""Rooms: joining, leaving and talking."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from protocol import Message
from schemas.names import Member, RoomName, Since, Text, UserName


class Join(Message, type="join"):
    """Enter a room; with ``since``, get what was said after it."""

    room: RoomName
    since: Since | None = None


class Joined(Message, type="joined"):
    """You are in the room. What you missed follows, if ``recovered``; go on from ``offset`` if not."""

    room: RoomName
    members: Annotated[list[Member], Field(max_length=200)]
    count: Annotated[int, Field(ge=0, description="How many users are in the room; at most 200 are listed.")]
    offset: Annotated[int, Field(ge=0)]
    epoch: str
    recovered: bool


class Leave(Message, type="leave"):
    """Leave a room."""

    room: RoomName


class MemberJoined(Message, type="member_joined"):
    """A user has come into a room."""

    room: RoomName
    user: UserName


class MemberLeft(Message, type="member_left"):
    """A user has left a room with the last of their connections."""

    room: RoomName
    user: UserName


class Say(Message, type="message"):
    """Say something to everybody in a room."""

    room: RoomName
    text: Text


class Said(Message, type="message"):
    """Somebody has said something in a room."""

    room: RoomName
    user: UserName
    text: Text
    at: datetime
