"""Direct messages, from one user to another."""

from datetime import UTC, datetime

from protocol import Connection, MessageRouter, Rate, Reject, User, Users
from schemas.direct import Whisper, Whispered


class RecipientOffline(Reject, code="recipient_offline"):
    """None of the recipient's connections would get the message."""


def direct_router(*, messages: Rate) -> MessageRouter:
    """The router; ``messages`` is how often a user may talk."""
    router = MessageRouter()

    @router.on(Whisper, emits=Whispered, raises=RecipientOffline, rate_limit=messages)
    async def whisper(message: Whisper, connection: Connection, user: User, users: Users) -> None:
        """To all of the recipient's connections, and then to the sender's other ones."""
        whispered = Whispered(user=user.id, to=message.to, text=message.text, at=datetime.now(UTC))
        delivery = await users[message.to].send(whispered, exclude=connection)
        if not delivery.receivers:
            raise RecipientOffline(detail="The recipient is not there.")
        if message.to != user.id:
            await users[user.id].send(whispered, exclude=connection)

    return router
