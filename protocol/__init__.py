"""A declarative message-protocol framework for WebSockets on FastAPI."""

from protocol.application import MessageProtocol
from protocol.codecs import JSON, Codec
from protocol.connection import Connection
from protocol.control import Ack, Authenticate, Cancel, Error, Ping, Pong
from protocol.envelope import Envelope
from protocol.exceptions import (
    Cancelled,
    ConfigurationError,
    Disconnect,
    InvalidMessage,
    LocalProtocolError,
    MalformedFrame,
    NotAMember,
    NotFound,
    ProtocolError,
    RateLimited,
    Reject,
    RemoteProtocolError,
    TooManyRooms,
    Unauthenticated,
    Unavailable,
    UnknownType,
)
from protocol.history import History
from protocol.limits import Rate, Tolerance
from protocol.messages import Message
from protocol.node import Node
from protocol.outbox import Outbox
from protocol.presence import Member, Members
from protocol.rooms import Membership, Room, Rooms
from protocol.routing import MessageRouter
from protocol.types import Delivery, Position, Request, User
from protocol.users import UserHandle, Users

__all__ = [
    "JSON",
    "Ack",
    "Authenticate",
    "Cancel",
    "Cancelled",
    "Codec",
    "ConfigurationError",
    "Connection",
    "Delivery",
    "Disconnect",
    "Envelope",
    "Error",
    "History",
    "InvalidMessage",
    "LocalProtocolError",
    "MalformedFrame",
    "Member",
    "Members",
    "Membership",
    "Message",
    "MessageProtocol",
    "MessageRouter",
    "Node",
    "NotAMember",
    "NotFound",
    "Outbox",
    "Ping",
    "Pong",
    "Position",
    "ProtocolError",
    "Rate",
    "RateLimited",
    "Reject",
    "RemoteProtocolError",
    "Request",
    "Room",
    "Rooms",
    "Tolerance",
    "TooManyRooms",
    "Unauthenticated",
    "Unavailable",
    "UnknownType",
    "User",
    "UserHandle",
    "Users",
]
