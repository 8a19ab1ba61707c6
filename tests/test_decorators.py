"""One application for each decorator, defined inside a function, as written and with postponed annotations.

Each application says what it does by what its client gets.
"""

import inspect
import textwrap
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FunctionType
from typing import Annotated, Any

import pytest
from fastapi import Depends

import protocol
from protocol import (
    Connection,
    Disconnect,
    History,
    Message,
    MessageProtocol,
    MessageRouter,
    Rate,
    Reject,
    RemoteProtocolError,
    Room,
    Rooms,
    User,
    Users,
)
from protocol.testing import Client, settle
from tests.served import served

Scenario = Callable[[], Awaitable[None]]
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


@scenario
async def on() -> None:
    class Ask(Message, type="ask"):
        text: str

    class Answer(Message, type="answer"):
        text: str

    chat = MessageProtocol("On")

    @chat.on(Ask, emits=Answer)
    async def ask(message: Ask, user: User, connection: Connection, rooms: Rooms, users: Users) -> Answer:
        assert users[user.id].connections() == (connection,)
        return Answer(text=f"{user.id} {message.text}")

    async with Client(served(chat), user="ann") as client:
        assert await client.request(Ask(text="hi"), Answer) == Answer(text="ann hi")


@scenario
async def on_in_a_thread() -> None:
    class Ask(Message, type="ask"):
        text: str

    chat = MessageProtocol("Thread")

    @chat.on(Ask, emits=Ask)
    def ask(message: Ask) -> Ask:
        return message.replace(text=message.text.upper())

    async with Client(served(chat)) as client:
        assert await client.request(Ask(text="hi"), Ask) == Ask(text="HI")


@scenario
async def on_several_types() -> None:
    class One(Message, type="one"):
        text: str

    class Two(Message, type="two"):
        text: str

    class Got(Message, type="got"):
        text: str

    chat = MessageProtocol("Several")

    @chat.on(One, Two, emits=Got, rate_limit=Rate(10, burst=40), concurrent=True)
    async def either(message: One | Two) -> Got:
        return Got(text=f"{message.type} {message.text}")  # type: ignore[union-attr]

    async with Client(served(chat)) as client:
        assert (await client.request(One(text="a")))["text"] == "one a"
        assert (await client.request(Two(text="b")))["text"] == "two b"


@scenario
async def on_with_dependencies() -> None:
    class Ask(Message, type="ask"):
        text: str

    class Answer(Message, type="answer"):
        text: str

    chat = MessageProtocol("Depends")
    steps: list[str] = []

    async def session() -> AsyncIterator[str]:
        steps.append("begin")
        yield "session"
        steps.append("end")

    @chat.on(Ask, emits=Answer)
    async def ask(message: Ask, session: Annotated[str, Depends(session)]) -> Answer:
        steps.append(session)
        return Answer(text=session)

    async with Client(served(chat)) as client:
        assert (await client.request(Ask(text="x"), Answer)).text == "session"
    assert steps == ["begin", "session", "end"]


@scenario
async def on_as_a_stream() -> None:
    class Count(Message, type="count"):
        to: int

    class Number(Message, type="number"):
        value: int

    chat = MessageProtocol("Stream")

    @chat.on(Count, emits=Number)
    async def count(message: Count) -> AsyncIterator[Number]:
        for value in range(message.to):
            yield Number(value=value)

    async with Client(served(chat)) as client:
        assert (await client.request(Count(to=2)))["value"] == 0
        assert (await client.expect(Number)).value == 1
        assert await client.expect("ack") == {"type": "ack", "ref": 1}


@scenario
async def on_as_a_stream_in_a_thread() -> None:
    class Count(Message, type="count"):
        to: int

    chat = MessageProtocol("Stream")

    @chat.on(Count, emits=Count)
    def count(message: Count) -> Iterator[Count]:
        yield from (Count(to=value) for value in range(message.to))

    async with Client(served(chat)) as client:
        assert (await client.request(Count(to=1)))["to"] == 0
        await client.expect("ack")


@scenario
async def transform() -> None:
    class Say(Message, type="say"):
        text: str

    chat = MessageProtocol("Transform")

    @chat.transform()
    def trim(message: Say) -> Say | None:
        if message.text == "bad":
            raise Reject("forbidden", "No.")
        return message.replace(text=message.text.strip()) if message.text else None

    @chat.transform(outbound=True)
    def shout(message: Say) -> Say:
        return message.replace(text=message.text.upper())

    @chat.transform(outbound=True, per_recipient=True)
    def address(message: Say, connection: Connection) -> Say:
        return message.replace(text=f"{connection.user.id}: {message.text}")

    @chat.on(Say, emits=Say)
    async def say(message: Say) -> Say:
        return message

    async with Client(served(chat), user="ann") as client:
        assert (await client.request(Say(text=" hi "), Say)).text == "ann: HI"
        assert (await client.request(Say(text="")))["type"] == "ack"
        assert (await client.request(Say(text="bad")))["detail"] == "No."


@scenario
async def room_on_join_and_on_leave() -> None:
    class Join(Message, type="join"):
        room: str

    class Came(Message, type="came"):
        user: str

    class Left(Message, type="left"):
        user: str

    chat = MessageProtocol("Room")

    @chat.room("team-{team}", history=History(size=10))
    async def team(connection: Connection, team: int) -> None:
        if team > 9:
            raise Reject("forbidden", "Nine teams only.")

    @chat.on_join
    async def came(user: User, room: Room) -> Came:
        return Came(user=user.id)

    @chat.on_leave
    async def left(user: User, room: Room) -> Left:
        return Left(user=user.id)

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    app = served(chat)
    async with Client(app, user="ann") as ann:
        assert (await ann.request(Join(room="team-10")))["detail"] == "Nine teams only."
        assert (await ann.request(Join(room="team-x")))["code"] == "not_found"
        assert (await ann.request(Join(room="other")))["code"] == "not_found"
        assert (await ann.request(Join(room="team-1")))["type"] == "ack"
        async with Client(app, user="bob") as bob:
            await bob.request(Join(room="team-1"))
            assert (await ann.expect(Came)).user == "bob"
        assert (await ann.expect(Left)).user == "bob"


@scenario
async def on_status() -> None:
    class Be(Message, type="be"):
        status: str

    class Is(Message, type="is"):
        user: str
        status: str

    chat = MessageProtocol("Status")

    @chat.on_status
    async def changed(user: User, status: str) -> Is:
        return Is(user=user.id, status=status)

    @chat.on(Be)
    async def be(message: Be, connection: Connection) -> None:
        await connection.set_status(message.status)

    app = served(chat)
    async with Client(app, user="ann") as one, Client(app, user="ann") as two:
        await one.request(Be(status="away"))
        assert await two.expect(Is) == Is(user="ann", status="away")
        await one.expect_nothing()


@scenario
async def on_connect_and_on_disconnect() -> None:
    class Hello(Message, type="hello"):
        name: str

    class Welcome(Message, type="welcome"):
        name: str

    chat = MessageProtocol("Hooks", receives=Hello, sends=Welcome)
    seen: list[str] = []

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        hello = await connection.receive(Hello, timeout=5)
        await connection.send(Welcome(name=hello.name))

    @chat.on_disconnect
    async def gone(connection: Connection) -> None:
        seen.append(connection.id)

    async with Client(served(chat)) as client:
        await client.send(Hello(name="ann"))
        assert (await client.expect(Welcome)).name == "ann"
        assert seen == []
    assert len(seen) == 1


@scenario
async def exception_handler() -> None:
    class Say(Message, type="say"):
        text: str

    class Sorry(Message, type="sorry"):
        why: str

    chat = MessageProtocol("Errors", sends=Sorry)

    @chat.exception_handler(RemoteProtocolError)
    async def sorry(connection: Connection, error: RemoteProtocolError) -> Sorry:
        return Sorry(why=error.code)

    @chat.exception_handler(ZeroDivisionError)
    async def end(connection: Connection, error: ZeroDivisionError) -> None:
        raise Disconnect(4001, "no")

    @chat.on(Say)
    async def say(message: Say) -> None:
        raise ZeroDivisionError

    async with Client(served(chat)) as client:
        await client.send("[]")
        assert (await client.expect(Sorry)).why == "malformed_frame"
        await client.send(Say(text="x"))
        assert await client.expect_close() == (4001, "no")


@scenario
async def include_router() -> None:
    class Say(Message, type="say"):
        text: str

    router = MessageRouter()

    @router.transform()
    def trim(message: Say) -> Say:
        return message.replace(text=message.text.strip())

    @router.on(Say, emits=Say)
    async def say(message: Say) -> Say:
        return message

    chat = MessageProtocol("Router")
    chat.include_router(router)
    async with Client(served(chat)) as client:
        assert (await client.request(Say(text=" hi "), Say)).text == "hi"


def name_of(function: Scenario) -> str:
    assert isinstance(function, FunctionType)
    return function.__name__


@pytest.mark.parametrize("run", SCENARIOS, ids=name_of)
async def test_as_written(run: Scenario) -> None:
    await run()
    await settle()


@pytest.mark.parametrize("run", SCENARIOS, ids=name_of)
async def test_with_postponed_annotations(run: Scenario) -> None:
    source = textwrap.dedent(inspect.getsource(run)).removeprefix("@scenario\n")
    names: dict[str, Any] = {**globals(), "__name__": "postponed"}
    exec(compile(f"from __future__ import annotations\n{source}", f"<{name_of(run)}>", "exec"), names)
    await names[name_of(run)]()
    await settle()


def test_every_decorator_has_its_application() -> None:
    decorators = {
        name
        for name, member in inspect.getmembers(protocol.MessageProtocol)
        if not name.startswith("_")
        and inspect.isfunction(member)
        and member.__qualname__.startswith("MessageRouter")
    }
    text = "\n".join(inspect.getsource(typing.cast(FunctionType, one)) for one in SCENARIOS)
    assert {name for name in decorators if f".{name}" not in text} <= {"tree"}
