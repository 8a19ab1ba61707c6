"""One message through all stages, without sockets: what each part costs, and how much of that is a library's.

Times are the fastest of many rounds, in nanoseconds of processor time per message. All parts are measured in the same
run, round by round, so that what the machine does besides hits all alike; on a busy one compare runs by the calls and
the bytecodes, which are the same every time. Between the parts is what joins them: the whole less their sum. In
CPython 3.11 a call of a function costs about as much as ten bytecodes, and both together are nearly all of ours.
"""

import asyncio
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import version
from types import FrameType
from typing import Any, NamedTuple

import orjson
import uvloop
from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Rate
from protocol.answers import Answers
from protocol.connection import Handling, handling
from protocol.dispatcher import Dispatcher
from protocol.node import Node
from protocol.reader import Reader
from protocol.writer import Writer

ROUNDS = 60
MESSAGES = 1000
BATCH = 16
"""Messages that are there when the connection's task wakes up."""


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
SCOPE = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b""}


class NoWriter(Writer):
    """Takes what is queued and throws it away, as a writer does that is never behind."""

    def __init__(self, connection: Connection) -> None:
        self._queue = connection.queue

    def flush(self) -> None:
        b"".join([frame.wire for frame in self._queue.take()])

    async def close(self, ending: tuple[int, str] | None) -> None: ...

    def abort(self) -> None: ...

    def waiting(self) -> int:
        return self._queue.size

    async def ready(self) -> bool:
        return True


class Part(NamedTuple):
    """A stage, what libraries do in it, and what of it is a part of its own."""

    stage: Callable[[], object]
    library: Callable[[], object] | None = None
    other: Callable[[], object] | None = None


def parts_of(node: Node) -> dict[str, Part]:
    pipeline = node.plan.pipeline
    connection = node.open(dict(SCOPE), None)
    connection.scheduled = True
    message, request = pipeline.decode(BODY)
    validate = pipeline.registry.inbound._validate
    revalidate, fields = Say.__pydantic_validator__.validate_python, dict(message)
    handler = node.plan.handlers[Say]
    body = pipeline.registry.encode(SAID)
    frame = pipeline.frame(SAID, 17)
    event = {"type": "websocket.receive", "text": BODY}

    async def receive() -> dict[str, Any]:
        return event

    reader = Reader(connection, node, receive, Answers(connection, node), cancel=_never, lost=_never)

    def read() -> None:
        _step(reader.read())
        reader.next()

    def in_context() -> None:
        handling.reset(handling.set(Handling(connection, request, BODY, message)))

    def queued() -> None:
        connection.put(frame)
        connection.queue.take()

    return {
        "read: event, codec, inbox": Part(
            read, library=lambda: _step(receive()), other=lambda: pipeline.decode(BODY)
        ),
        "decode: validation, envelope": Part(lambda: pipeline.decode(BODY), library=lambda: validate(BODY)),
        "limit": Part(lambda: node.limits.admit(Say, "alice", connection.id, 1.0)),
        "transforms, with one copy": Part(
            lambda: pipeline.inbound(message),
            library=lambda: revalidate(fields, by_name=True, by_alias=False),
        ),
        "context of the message": Part(in_context),
        "handler: injection, call": Part(
            lambda: _step(handler.call(message, connection, node)),  # type: ignore[arg-type]
            library=lambda: _step(say(message, connection=connection)),  # type: ignore[arg-type]
        ),
        "reply: encode, ref, frame": Part(
            lambda: pipeline.frame(SAID, 17),
            library=lambda: (SAID.__pydantic_serializer__.to_json(SAID), orjson.dumps(17), body[:-1]),
        ),
        "outbox: queue, take": Part(queued),
    }


async def turns(count: int) -> None:
    """What the event loop does for so many messages: it wakes a task for each batch, and calls what writes."""
    loop = asyncio.get_running_loop()
    for _ in range(count // BATCH):
        loop.call_soon(_never)
        await asyncio.sleep(0)


async def whole(node: Node, count: int) -> None:
    """The dispatcher on a connection whose frames come in batches."""
    left = count
    event = {"type": "websocket.receive", "text": BODY}

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        if left % BATCH == 0:
            await asyncio.sleep(0)
        return event if left >= 0 else {"type": "websocket.disconnect", "code": 1000}

    connection = node.open(dict(SCOPE), None)
    await Dispatcher(connection, node, receive).run(NoWriter(connection))


async def counted(node: Node) -> tuple[float, float]:
    """Calls of Python functions, and bytecodes, for one message."""
    found: list[tuple[int, int]] = []
    for count in (BATCH, BATCH + MESSAGES):
        calls = bytecodes = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal calls, bytecodes
            calls += event == "call"
            bytecodes += event == "opcode"
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return trace

        sys.settrace(trace)
        await asyncio.create_task(whole(node, count))
        sys.settrace(None)
        found.append((calls, bytecodes))
    (calls, bytecodes), (more_calls, more_bytecodes) = found
    return (more_calls - calls) / MESSAGES, (more_bytecodes - bytecodes) / MESSAGES


async def main() -> None:
    node = Node(chat.freeze(), app=FastAPI())
    await node.start()
    parts = parts_of(node)
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for name, part in parts.items():
            for column, measured in part._asdict().items():
                times[name, column].append(0.0 if measured is None else _timed(measured))
        for name, running in (("turn", turns(MESSAGES)), ("whole", whole(node, MESSAGES))):
            started = time.process_time()
            await running
            times[name, ""].append((time.process_time() - started) / MESSAGES * 1e9)
    calls, bytecodes = await counted(node)
    await node.close()

    fastest = {key: min(found) for key, found in times.items()}
    versions = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "pydantic", "orjson", "uvloop"))
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    print("  ours libraries'   ns per message")
    rows = {
        name: (
            fastest[name, "stage"] - fastest[name, "library"] - fastest[name, "other"],
            fastest[name, "library"],
        )
        for name in parts
    }
    rows[f"turn of the loop, for {BATCH}"] = (0.0, fastest["turn", ""])
    rest = fastest["whole", ""] - sum(map(sum, rows.values()))
    rows["between the parts"] = (rest, 0.0)
    rows["whole"] = (sum(ours for ours, _ in rows.values()), sum(theirs for _, theirs in rows.values()))
    for name, (ours, theirs) in rows.items():
        print(f"{ours:6.0f} {theirs:10.0f}   {name}")
    print(f"{calls:.1f} calls of Python functions and {bytecodes:.0f} bytecodes per message")


def _timed(part: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(MESSAGES):
        part()
    return (time.process_time() - started) / MESSAGES * 1e9


def _never(*_: object) -> None: ...


def _step(coroutine: Coroutine[Any, Any, object]) -> None:
    with suppress(StopIteration):
        coroutine.send(None)


if __name__ == "__main__":
    uvloop.run(main())
