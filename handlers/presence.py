"""The status of users."""

from protocol import Connection, MessageRouter, Rate, User
from schemas.presence import SetStatus, StatusChanged


def presence_router(*, messages: Rate) -> MessageRouter:
    """The router; ``messages`` is how often a user may change the status."""
    router = MessageRouter()

    @router.on(SetStatus, rate_limit=messages)
    async def set_status(message: SetStatus, connection: Connection) -> None:
        await connection.set_status(message.status)

    @router.on_status
    async def changed(user: User, status: str) -> StatusChanged:
        return StatusChanged.model_validate({"user": user.id, "status": status})

    return router
