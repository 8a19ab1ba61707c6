"""The status of users."""

from protocol import Message
from schemas.names import Status, UserName


class SetStatus(Message, type="status"):
    """Say how you are, on all your connections."""

    status: Status


class StatusChanged(Message, type="status"):
    """A user who shares a room with you is now like this."""

    user: UserName
    status: Status
