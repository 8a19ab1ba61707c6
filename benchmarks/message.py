"""One message through all stages, without sockets, and each part of it.

The figures are medians over many rounds, in nanoseconds of processor time per message; the parts are measured in the
same run, round by round, so that what the machine does besides hits all alike. Run it on an idle machine.
"""

import asyncio
import platform
import statistics
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Rate
from protocol.connection import Handling, handling
from protocol.dispatcher import Dispatcher
from protocol.node import Node
from protocol.writer import Writer

ROUNDS = 60
MESSAGES = 2000


class Say(Message, type="say"):
    room: str
    text: str


class Said(Message, type="said"):
    room: str
    user: str
    text: str


chat = MessageProtocol("Chat", path="/ws")


@chat.transform
def shout(message: Say) -> Say:
    return message.replace(text="HELLO WORLD, HOW ARE YOU TODAY")


@chat.on(Say, emits=Said, rate_limit=Rate(1e9, burst=1_000_000_000))
async def say(message: Say, connection: Connection) -> Said:
    return SAID


SAID = Said(room="lobby", user="alice", text="HELLO WORLD, HOW ARE YOU TODAY")
BODY = '{"type":"say","room":"lobby","text":"Hello world, how are you today","id":17}'


class NoWriter(Writer):
    """Takes what is queued and throws it away, as a writer does that is never behind."""

    def __init__(self, connection: Connection) -> None:
        self._queue = connection.queue

    def flush(self) -> None:
        for frame in self._queue.take():
            frame.wire  # noqa: B018

    async def close(self, ending: tuple[int, str] | None) -> None: ...

    def abort(self) -> None: ...

    def waiting(self) -> int:
        return self._queue.size

    async def ready(self) -> bool:
        return True


async def main() -> None:
    node = Node(chat.freeze(), app=FastAPI())
    await node.start()
    connection = node.open({"type": "websocket", "path": "/ws", "headers": [], "query_string": b""}, None)
    registry, pipeline = node.plan.pipeline.registry, node.plan.pipeline
    message, request = pipeline.decode(BODY)
    loop = asyncio.get_running_loop()
    raw = registry.inbound._validate
    handler = node.plan.handlers[Say]
    user, id = connection.user.id, connection.id

    async def whole(count: int) -> None:
        """The dispatcher on a connection whose frames are all there."""
        left = count
        event = {"type": "websocket.receive", "text": BODY}

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            if left % 16 == 0:
                await asyncio.sleep(0)
            return event if left >= 0 else {"type": "websocket.disconnect", "code": 1000}

        opened = node.open(connection.scope, None)
        await Dispatcher(opened, node, receive).run(NoWriter(opened))

    async def call() -> None:
        await handler(message, connection, node)

    parts: dict[str, Callable[[], Any]] = {
        "pydantic: validate_json": lambda: raw(BODY),
        "pydantic: one revalidated copy": lambda: shout(message),  # type: ignore[arg-type]
        "pydantic: to_json": lambda: SAID.__pydantic_serializer__.to_json(SAID),
        "decode (validation and envelope)": lambda: pipeline.decode(BODY),
        "limit": lambda: node.limits.admit(Say, user, id, loop.time()),
        "transforms (with the copy)": lambda: pipeline.inbound(message),
        "context of the message": lambda: handling.set(Handling(connection, request)),
        "handler (injection and call)": lambda: _step(call()),
        "encode with ref": lambda: pipeline.frame(SAID, ref=17),
        "frame for the wire": lambda: pipeline.frame(SAID, ref=17).wire,
    }
    times: dict[str, list[float]] = {name: [] for name in (*parts, "whole")}
    for _ in range(ROUNDS):
        for name, part in parts.items():
            started = time.process_time()
            for _ in range(MESSAGES):
                part()
            times[name].append((time.process_time() - started) / MESSAGES * 1e9)
        started = time.process_time()
        await whole(MESSAGES)
        times["whole"].append((time.process_time() - started) / MESSAGES * 1e9)
    medians = {name: statistics.median(found) for name, found in times.items()}
    versions = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "pydantic", "orjson"))
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    for name, found in medians.items():
        print(f"{found:8.0f} ns  {name}")
    pydantic = sum(found for name, found in medians.items() if name.startswith("pydantic"))
    print(f"{medians['whole'] - pydantic:8.0f} ns  of our own: the whole less what pydantic does in it")
    await node.close()


def _step(coroutine: Coroutine[Any, Any, None]) -> None:
    with suppress(StopIteration):
        coroutine.send(None)


if __name__ == "__main__":
    asyncio.run(main())
