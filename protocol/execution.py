"""Calling the application's functions: handlers, room functions and hooks, as they were registered."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel
from starlette.concurrency import iterate_in_threadpool

from protocol.connection import Connection, handling
from protocol.exceptions import LocalProtocolError, NotAMember
from protocol.injection import Call, Injected
from protocol.node import Node
from protocol.owner import cause_of
from protocol.records import Handler
from protocol.rooms import Room, RoomSpec
from protocol.types import User

logger = logging.getLogger("protocol")

Running = Callable[[BaseModel, Connection, Node], Awaitable[BaseModel | None]]


class HandlerCall:
    """A handler, ready to be called; the way with the least work for what it takes."""

    __slots__ = ("call", "concurrent")

    def __init__(self, handler: Handler) -> None:
        self.concurrent = handler.concurrent
        self.call = _runner(handler.function)


def _runner(function: Injected) -> Running:
    if function.is_stream or function.is_sync_stream:
        return _streaming(function)
    if function.takes_room:
        return _in_room(function)
    if function.is_async and function.simple:
        target, names = function.function, function.connection_names
        if names == []:
            return lambda message, connection, node: target(message)
        if names is not None:
            (name,) = names
            return lambda message, connection, node: target(message, **{name: connection})
        return lambda message, connection, node: target(
            message, **function.arguments(Call(node, connection=connection))
        )
    return lambda message, connection, node: function(Call(node, connection=connection), message)


def _in_room(function: Injected) -> Running:
    async def run(message: Any, connection: Connection, node: Node) -> BaseModel | None:
        name: str = message.room
        if name not in connection.memberships and await _absent(name, connection, node):
            return None
        reply: BaseModel | None = await function(
            Call(node, connection=connection, room=node.rooms[name]), message
        )
        return reply

    return run


async def _absent(name: str, connection: Connection, node: Node) -> bool:
    """Refuse a message to a room that the connection is not in; true where it is a repeat all the same.

    A key is looked at before membership: who was a member when the message was applied gets the same answer.
    """
    node.plan.rooms.find(name)
    current = handling.get()
    if current is not None and current.key is not None and connection.authenticated:
        repeated = await node.publisher.repeated(name, (connection.user.id, current.key))
        if repeated is not None:
            current.offset = None if repeated.position is None else repeated.position.offset
            return True
    raise NotAMember("The connection is not in this room: join it first.")


def _streaming(function: Injected) -> Running:
    async def run(message: Any, connection: Connection, node: Node) -> None:
        room = None
        if function.takes_room:
            if message.room not in connection.memberships and await _absent(message.room, connection, node):
                return
            room = node.rooms[message.room]
        ref = connection.request.id
        async with function.solved(Call(node, connection=connection, room=room)) as arguments:
            replies = function.function(message, **arguments)
            stream: AsyncIterator[BaseModel] = (
                iterate_in_threadpool(replies) if function.is_sync_stream else replies
            )
            async with aclosing(stream):  # type: ignore[type-var]
                async for reply in stream:
                    connection.reply(reply, ref)
                    await connection.ready()

    return run


class AppHooks:
    """The hooks of one protocol on one node."""

    def __init__(
        self,
        node: Node,
        *,
        rooms: Mapping[str, Injected],
        on_join: Sequence[Injected],
        on_leave: Sequence[Injected],
        on_status: Sequence[Injected],
        on_connect: Sequence[Injected],
        on_disconnect: Sequence[Injected],
        exception_handlers: Mapping[type[Exception], Injected],
    ) -> None:
        self._node = node
        self._rooms = rooms
        self._on_join = on_join
        self._on_leave = on_leave
        self._on_status = on_status
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._exception_handlers = exception_handlers

    async def authorise(self, connection: Connection, spec: RoomSpec, parameters: dict[str, str]) -> None:
        call = Call(self._node, connection=connection, parameters=parameters)
        answer = await self._rooms[spec.pattern.pattern](call, connection)
        if answer is not None:
            # A program that says `return False` means to refuse.
            raise LocalProtocolError(
                f"{spec.place}: it returned {type(answer).__qualname__}, and a room function answers by raising Reject, "
                f"or by nothing: nobody is let in."
            )

    async def joined(self, user: User, room: Room) -> list[BaseModel]:
        return await self._said(self._on_join, Call(self._node, user=user, room=room))

    async def left(self, user: User, room: Room) -> list[BaseModel]:
        return await self._said(self._on_leave, Call(self._node, user=user, room=room))

    async def status_changed(self, user: User, status: str) -> list[BaseModel]:
        return await self._said(self._on_status, Call(self._node, user=user, status=status))

    async def connected(self, connection: Connection) -> None:
        for hook in self._on_connect:
            await hook(Call(self._node, connection=connection))

    async def disconnected(self, connection: Connection) -> None:
        for hook in self._on_disconnect:
            await _heard(hook, Call(self._node, connection=connection))

    async def failed(self, connection: Connection, error: Exception) -> BaseModel | None:
        for kind in type(error).__mro__:
            if handler := self._exception_handlers.get(kind):
                answer: BaseModel | None = await handler(
                    Call(self._node, connection=connection), connection, error
                )
                return answer
        return None

    async def _said(self, hooks: Sequence[Injected], call: Call) -> list[BaseModel]:
        """What hooks answer."""
        answers = [await _heard(hook, call) for hook in hooks]
        return [message for message in answers if message is not None]


async def _heard(hook: Injected, call: Call) -> BaseModel | None:
    """What a hook answers. One that fails keeps none of the others from its turn."""
    try:
        answer: BaseModel | None = await hook(call)
    except (Exception, asyncio.CancelledError) as error:
        logger.exception("%s failed", hook.place, exc_info=cause_of(error))
    else:
        return answer
    return None
