"""Rooms: joining, leaving and talking."""

from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from protocol import Connection, History, Membership, MessageRouter, NotFound, Position, Rate, Room, User
from schemas.names import Member, RoomName
from schemas.rooms import Join, Joined, Leave, MemberJoined, MemberLeft, Said, Say


def rooms_router(*, messages: Rate, memberships: Rate) -> MessageRouter:
    """The router; ``messages`` and ``memberships`` are how often a user may talk, and come and go."""
    router = MessageRouter()
    room_name = TypeAdapter[str](RoomName)

    @router.room("{name}", history=History(size=1000, ttl=3600, recover=300))
    async def anyone(connection: Connection, name: str) -> None:
        """Everybody may enter every room whose name is one."""
        try:
            room_name.validate_python(name)
        except ValidationError:
            raise NotFound("There is no such room.") from None

    @router.on_connect
    async def join_by_path(connection: Connection) -> None:
        """``/ws/{room}`` joins that room at once."""
        name = connection.path_params.get("room")
        if name is not None:
            await connection.send(joined(await connection.join(name)))

    @router.on(Join, emits=Joined, rate_limit=memberships)
    async def join(message: Join, connection: Connection) -> Joined:
        since = None if message.since is None else Position(message.since.offset, message.since.epoch)
        return joined(await connection.join(message.room, since))

    @router.on(Leave, rate_limit=memberships)
    async def leave(message: Leave, connection: Connection) -> None:
        await connection.leave(message.room)

    @router.on(Say, emits=Said, rate_limit=messages)
    async def say(message: Say, room: Room, user: User) -> None:
        await room.publish(Said(room=message.room, user=user.id, text=message.text, at=datetime.now(UTC)))

    @router.on_join
    async def came(user: User, room: Room) -> MemberJoined:
        return MemberJoined(room=room.name, user=user.id)

    @router.on_leave
    async def went(user: User, room: Room) -> MemberLeft:
        return MemberLeft(room=room.name, user=user.id)

    return router


def joined(membership: Membership) -> Joined:
    """What a client hears of its membership."""
    members = [
        Member.model_validate({"user": member.user, "status": member.status})
        for member in membership.members.users
    ]
    return Joined(
        room=membership.room,
        members=members,
        count=membership.members.count,
        offset=membership.position.offset,
        epoch=membership.position.epoch,
        recovered=membership.recovered,
    )
