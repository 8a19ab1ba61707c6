"""Direct messages, from one user to another."""

from datetime import datetime

from protocol import Message
from schemas.names import Text, UserName


class Whisper(Message, type="private"):
    """Say something to one user."""

    to: UserName
    text: Text


class Whispered(Message, type="private"):
    """Somebody has said something to you, or you did from another connection."""

    user: UserName
    to: UserName
    text: Text
    at: datetime
