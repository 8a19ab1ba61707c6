from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, Header, HTTPException, Query, Request, Security, WebSocket, WebSocketException
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from protocol import ConfigurationError, Connection, Message, MessageProtocol, Room, User
from protocol.testing import Client
from tests.misdeclared import place, refusal
from tests.served import served


class Ask(Message, type="ask"):
    pass


class Answer(Message, type="answer"):
    text: str


async def answer(chat: MessageProtocol, **options: Any) -> dict[str, Any]:
    async with Client(served(chat), **options) as client:
        return dict(await client.request(Ask()))


async def test_a_dependency_is_solved_for_each_message() -> None:
    chat = MessageProtocol("Chat")
    calls: list[str] = []

    async def number(connection: HTTPConnection) -> int:
        calls.append(connection.query_params["name"])
        return len(calls)

    @chat.on(Ask, emits=Answer)
    async def ask(message: Ask, number: Annotated[int, Depends(number)], user: User) -> Answer:
        return Answer(text=f"{user.id} {number}")

    async with Client(served(chat), user="bob", query="name=x") as client:
        assert await client.request(Ask(), Answer) == Answer(text="bob 1")
        assert await client.request(Ask(), Answer) == Answer(text="bob 2")
    assert calls == ["x", "x"]


async def test_one_message_solves_a_shared_dependency_once() -> None:
    chat = MessageProtocol("Chat")
    calls: list[int] = []

    def shared() -> int:
        calls.append(1)
        return len(calls)

    def left(shared: Annotated[int, Depends(shared)]) -> int:
        return shared

    @chat.on(Ask)
    async def ask(
        message: Ask, left: Annotated[int, Depends(left)], right: Annotated[int, Depends(shared)]
    ) -> None:
        assert left == right

    assert await answer(chat) == {"type": "ack", "ref": 1}
    assert calls == [1]


async def test_a_dependency_with_yield_is_around_one_message_and_sees_its_error() -> None:
    chat = MessageProtocol("Chat")
    log: list[str] = []

    async def session() -> AsyncIterator[str]:
        log.append("open")
        try:
            yield "session"
        except KeyError:
            log.append("failed")
            raise
        finally:
            log.append("closed")

    @chat.on(Ask)
    async def ask(message: Ask, session: Annotated[str, Depends(session)]) -> None:
        log.append(session)
        if log.count("open") == 2:
            raise KeyError

    async with Client(served(chat)) as client:
        assert (await client.request(Ask()))["type"] == "ack"
        assert log == ["open", "session", "closed"]
        assert (await client.request(Ask()))["code"] == "internal_error"
    assert log[3:] == ["open", "session", "failed", "closed"]


async def test_overrides_of_the_application_are_honoured() -> None:
    chat = MessageProtocol("Chat")

    def clock() -> str:
        raise AssertionError

    @chat.on(Ask, emits=Answer)
    async def ask(message: Ask, now: Annotated[str, Depends(clock)]) -> Answer:
        return Answer(text=now)

    app = served(chat)
    app.dependency_overrides[clock] = lambda: "noon"
    async with Client(app) as client:
        assert await client.request(Ask(), Answer) == Answer(text="noon")


async def test_security_scopes_reach_the_dependency() -> None:
    chat = MessageProtocol("Chat")

    def scopes(required: SecurityScopes) -> str:
        return required.scope_str

    @chat.on(Ask, emits=Answer)
    async def ask(message: Ask, scopes: Annotated[str, Security(scopes, scopes=["read", "write"])]) -> Answer:
        return Answer(text=scopes)

    assert (await answer(chat))["text"] == "read write"


async def test_query_and_headers_of_the_handshake_are_validated() -> None:
    chat = MessageProtocol("Chat")

    @chat.on(Ask, emits=Answer)
    async def ask(
        message: Ask, page: Annotated[int, Query()], user_agent: Annotated[str, Header()] = "none"
    ) -> Answer:
        return Answer(text=f"{page} {user_agent}")

    assert (await answer(chat, query="page=3"))["text"] == "3 none"
    assert (await answer(chat, query="page=3", headers={"User-Agent": "test"}))["text"] == "3 test"
    refused = await answer(chat, query="page=secret")
    assert (refused["code"], refused["detail"], refused["ref"]) == (
        "invalid_message", "The query or headers of the handshake are not what is needed here.", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "status, code, retryable",
    [(401, "unauthenticated", False), (403, "forbidden", False), (404, "not_found", False), (409, "conflict", False),
     (429, "rate_limited", True), (503, "unavailable", True), (418, "internal_error", False), (500, "internal_error", False)],
)  # fmt: skip
async def test_an_http_exception_becomes_the_matching_error(status: int, code: str, retryable: bool) -> None:
    chat = MessageProtocol("Chat")

    def refuse() -> None:
        raise HTTPException(status, "No.", {"Retry-After": "2"} if status == 429 else None)

    @chat.on(Ask)
    async def ask(message: Ask, refused: Annotated[None, Depends(refuse)]) -> None: ...

    error = await answer(chat)
    assert (error["code"], error["ref"], error["retryable"]) == (code, 1, retryable)
    assert error.get("retry_after") == (2 if status == 429 else None)
    assert (error["detail"] == "No.") is (code != "internal_error")


async def test_a_websocket_exception_ends_the_connection() -> None:
    chat = MessageProtocol("Chat")

    def leave() -> None:
        raise WebSocketException(4000, "bye")

    @chat.on(Ask)
    async def ask(message: Ask, left: Annotated[None, Depends(leave)]) -> None: ...

    async with Client(served(chat)) as client:
        await client.send(Ask())
        assert await client.expect_close() == (4000, "bye")


async def test_dependencies_of_a_room_function_and_a_hook() -> None:
    class Joined(Message, type="joined"):
        by: str

    class Join(Message, type="join"):
        room: str

    chat = MessageProtocol("Chat")

    def greeting() -> str:
        return "hello"

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str, greeting: Annotated[str, Depends(greeting)]) -> None:
        assert greeting == "hello"

    @chat.on_join
    async def joined(user: User, room: Room, greeting: Annotated[str, Depends(greeting)]) -> Joined:
        return Joined(by=f"{greeting} {user.id} {room.name}")

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    app = served(chat)
    async with Client(app, user="alice") as alice, Client(app, user="bob") as bob:
        await alice.request(Join(room="a"))
        await bob.request(Join(room="a"))
        assert await alice.expect(Joined) == Joined(by="hello bob a")


async def test_a_dependency_sees_the_state_of_its_own_connection() -> None:
    chat = MessageProtocol("Chat")

    def mine(connection: HTTPConnection) -> HTTPConnection:
        return connection

    @chat.on(Ask, emits=Answer)
    async def ask(
        message: Ask, connection: Connection, mine: Annotated[HTTPConnection, Depends(mine)]
    ) -> Answer:
        assert mine is connection
        connection.state.count = getattr(connection.state, "count", 0) + 1
        return Answer(text=str(connection.state.count))

    async with Client(served(chat)) as client:
        assert [(await client.request(Ask(), Answer)).text for _ in range(2)] == ["1", "2"]


def test_a_dependency_that_takes_a_body_is_refused() -> None:
    def body(item: dict[str, int]) -> None: ...

    async def ask(message: Ask, item: Annotated[None, Depends(body)]) -> None: ...

    assert refusal(lambda: MessageProtocol("Chat").on(Ask)(ask)) == (
        f"{place(ask)}: a dependency takes a body, and a socket has "
        "none. Take the values from the message, or mark them as Query(), Header() or Cookie()."
    )


def test_a_dependency_that_cannot_be_read_is_refused() -> None:
    class Opaque:
        pass

    def opaque(item: Opaque) -> None: ...

    async def ask(message: Ask, item: Annotated[None, Depends(opaque)]) -> None: ...

    with pytest.raises(ConfigurationError, match="a dependency cannot be resolved"):
        MessageProtocol("Chat").on(Ask)(ask)


@pytest.mark.parametrize("kind", [Request, WebSocket])
def test_a_dependency_that_takes_a_request_or_a_socket_is_refused(kind: type) -> None:
    def caller(connection: Any) -> None: ...

    caller.__annotations__["connection"] = kind

    async def ask(message: Ask, item: Annotated[None, Depends(caller)]) -> None: ...

    assert refusal(lambda: MessageProtocol("Chat").on(Ask)(ask)) == (
        f"{place(ask)}: a dependency takes a Request or a WebSocket, "
        "and a message is neither. Take HTTPConnection, which is what both are, or Connection."
    )


async def test_a_plain_dependency_with_yield_ends_in_a_thread_before_the_answer() -> None:
    chat = MessageProtocol("Chat")
    steps: list[str] = []

    def resource() -> Iterator[None]:
        steps.append("begin")
        yield
        steps.append("end")

    @chat.on(Ask)
    async def ask(message: Ask, item: Annotated[None, Depends(resource)]) -> None:
        steps.append("ask")

    app = served(chat)
    async with Client(app) as client:
        await client.request(Ask())
    assert steps == ["begin", "ask", "end"]
