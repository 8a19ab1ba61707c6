"""Every error code, provoked through a client, and what an error never does."""

import logging
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from starlette.exceptions import HTTPException as StarletteHTTPException

from protocol import Connection, Message, MessageProtocol, Rate, Reject, Room, Rooms, User, codes
from protocol.exceptions import Unavailable
from protocol.testing import Client, settle
from protocol.types import VERIFIER
from tests.served import served


class Do(Message, type="do"):
    what: str
    room: str = "lobby"


class Said(Message, type="said"):
    text: str


class Undeclared(Message, type="undeclared"):
    text: str


class In(Message, type="in"):
    room: str


class TooLate(Reject, code="too_late", retryable=True): ...


RAISED: dict[str, Exception] = {
    "forbidden": Reject(),
    "too_late": TooLate(detail="The game is over."),
    "custom": Reject("out_of_stock", "None left."),
    "timeout": TimeoutError(),
    "unavailable": Unavailable("The broker does not answer."),
    "internal_error": LookupError("a secret"),
    "local": KeyError("secret"),
    **{f"http {status}": HTTPException(status, "why") for status in (400, 401, 403, 404, 409, 418, 422, 503)},
    "http 429": HTTPException(429, "why", {"Retry-After": "3"}),
    "http 429 date": HTTPException(429, "why", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    "http detail": HTTPException(409, {"why": 1}),
    "starlette's http 404": StarletteHTTPException(404, "why"),
}


def create_app(**options: Any) -> FastAPI:
    chat = MessageProtocol("Errors", **options)

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None:
        if name == "private":
            raise Reject("forbidden", "Members only.")

    @chat.on(Do, emits=Said, raises=TooLate)
    async def do(message: Do, connection: Connection, rooms: Rooms) -> None:
        if message.what == "close":
            raise WebSocketException(4100, "bye")
        if message.what == "close 1011":
            raise WebSocketException(1011)
        if message.what == "undeclared":
            await connection.send(Undeclared(text="x"))
        if message.what == "key":
            await rooms[message.room].publish(Said(text="x"), key="0123456789abcdef")
        if message.what == "leave":
            await connection.leave(message.room)
        raise RAISED[message.what]

    @chat.on(In, rate_limit=Rate(1, burst=5))
    async def enter(message: In, connection: Connection) -> None:
        await connection.join(message.room)

    return served(chat)


def error(code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "code": code, "detail": detail, "ref": 1, "retryable": False, **more}


@pytest.mark.parametrize(
    "what, expected",
    [
        ("forbidden", error("forbidden", "forbidden")),
        ("too_late", error("too_late", "The game is over.", retryable=True)),
        ("custom", error("out_of_stock", "None left.")),
        ("timeout", error("timeout", "It took too long.", retryable=True)),
        ("unavailable", error("unavailable", "The broker does not answer.", retryable=True)),
        ("http 400", error("invalid_message", "why")),
        ("http 422", error("invalid_message", "why")),
        ("http 401", error("unauthenticated", "why")),
        ("http 403", error("forbidden", "why")),
        ("http 404", error("not_found", "why")),
        ("http 409", error("conflict", "why")),
        ("http 429", error("rate_limited", "why", retryable=True, retry_after=3.0)),
        ("http 429 date", error("rate_limited", "why", retryable=True)),
        ("http 503", error("unavailable", "why", retryable=True)),
        ("http detail", error("conflict", "{'why': 1}")),
        ("starlette's http 404", error("not_found", "why")),
        ("leave", error("not_a_member", "The connection is not in this room.")),
    ],
)
async def test_what_a_handler_raises_becomes_an_error(what: str, expected: dict[str, Any]) -> None:
    async with Client(create_app()) as client:
        assert await client.request(Do(what=what)) == expected
        await client.expect_nothing()


@pytest.mark.parametrize("what", ["internal_error", "local", "http 418", "undeclared"])
async def test_anything_else_is_an_internal_error_with_an_id_that_the_log_has(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(create_app()) as client:
        answer = await client.request(Do(what=what))
        assert answer == error("internal_error", "Something went wrong here.", error_id=answer["error_id"])
        [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert record.error_id == answer["error_id"]  # type: ignore[attr-defined]
        assert record.getMessage() == (
            f"A message 'do' failed: error_id={answer['error_id']} connection={record.connection}"  # type: ignore[attr-defined]
        )
        assert record.exc_info
        assert caplog.text.count("Traceback") == 1
        assert (await client.request({"type": "ping"}))["type"] == "pong"


@pytest.mark.parametrize(
    "frame, code, ref",
    [
        (b"\x00", "malformed_frame", None),
        ("", "malformed_frame", None),
        ("[]", "malformed_frame", None),
        ("1", "malformed_frame", None),
        ('"join"', "malformed_frame", None),
        ("{", "malformed_frame", None),
        ("[" * 60_000, "malformed_frame", None),
        ('{"type":"do","what":"\ud800"}', "malformed_frame", None),
        ("{}", "unknown_type", None),
        ('{"type":1,"id":1}', "unknown_type", 1),
        ('{"type":"what","id":1}', "unknown_type", 1),
        ('{"type":"__proto__","id":1}', "unknown_type", 1),
        ('{"type":"authenticate","token":"x","id":1}', "unknown_type", 1),
        ('{"type":"do","id":1}', "invalid_message", 1),
        ('{"type":"do","what":NaN,"id":1}', "invalid_message", 1),
        ('{"type":"do","what":"x","more":1,"id":1}', "invalid_message", 1),
        ('{"type":"do","what":"x","id":[]}', "invalid_message", None),
        ('{"type":"do","what":"x","id":9007199254740993}', "invalid_message", None),
        ('{"type":"do","what":"x","key":"short","id":1}', "invalid_message", 1),
    ],
)
async def test_bad_input_is_an_error_on_a_living_connection(
    frame: str | bytes, code: str, ref: int | None
) -> None:
    async with Client(create_app()) as client:
        await client.send(frame)
        answer = await client.expect("error")
        assert (answer["code"], answer.get("ref")) == (code, ref)
        assert answer["retryable"] is False
        assert (await client.request({"type": "ping"}))["type"] == "pong"
        await client.expect_nothing()


async def test_rooms_refuse_by_their_codes() -> None:
    async with Client(create_app(max_rooms=1)) as client:
        assert (await client.request(In(room="no such room!")))["code"] == "not_found"
        assert (await client.request(In(room="private"))) == {
            **error("forbidden", "Members only."), "ref": 2,
        }  # fmt: skip
        assert (await client.request(In(room="a")))["type"] == "ack"
        assert (await client.request(In(room="a")))["type"] == "ack"
        assert (await client.request(In(room="b")))["code"] == "too_many_rooms"
        limited = await client.request(In(room="b"))
        assert (limited["code"], limited["retryable"]) == ("rate_limited", True)
        assert 0 < limited["retry_after"] <= 1


async def test_a_key_without_a_user_is_unauthenticated_before_the_handler_runs() -> None:
    chat = MessageProtocol("Errors")
    done: list[str] = []

    @chat.on(Do)
    async def do(message: Do) -> None:
        done.append(message.what)

    app = served(chat)
    async with Client(app) as client, Client(app, user="ann") as ann:
        assert await client.request(Do(what="x"), key="0123456789abcdef") == error(
            "unauthenticated", "A key needs a user: log in first."
        )
        assert done == []
        assert (await client.request(Do(what="x")))["type"] == "ack"
        assert (await ann.request(Do(what="y"), key="0123456789abcdef"))["type"] == "ack"
    assert done == ["x", "y"]


async def test_a_key_that_a_handler_gives_needs_a_user_too() -> None:
    async with Client(create_app()) as client:
        answer = await client.request(Do(what="key"))
        assert answer["code"] == "unauthenticated"


async def test_what_an_application_closes_with() -> None:
    for what, close in (("close", (4100, "bye")), ("close 1011", (3501, "bad request"))):
        async with Client(create_app()) as client:
            await client.send(Do(what=what), id=1)
            assert await client.expect_close() == close
            assert client.frames == []


async def test_a_dependency_may_refuse_too() -> None:
    chat = MessageProtocol("Errors")
    ended: list[str] = []

    async def member() -> Any:
        try:
            yield "member"
        finally:
            ended.append("member")

    def admin(member: Annotated[str, Depends(member)]) -> None:
        raise HTTPException(403, "Admins only.")

    @chat.on(Do)
    async def do(message: Do, admin: Annotated[None, Depends(admin)]) -> None: ...

    app = served(chat)
    async with Client(app) as client:
        assert await client.request(Do(what="x")) == error("forbidden", "Admins only.")
        assert ended == ["member"]
        app.dependency_overrides[admin] = lambda: None
        assert (await client.request(Do(what="x")))["type"] == "ack"


async def test_an_error_in_a_room_leaves_the_room_unharmed() -> None:
    chat = MessageProtocol("Errors")

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(In)
    async def enter(message: In, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Do, emits=Said)
    async def do(message: Do, room: Room) -> None:
        await room.publish(Said(text="before"))
        if message.what == "fail":
            raise LookupError

    app = served(chat)
    async with Client(app) as one, Client(app) as two:
        for client in (one, two):
            await client.request(In(room="lobby"))
        assert (await one.request(Do(what="fail")))["code"] == "internal_error"
        await two.expect(Said)
        assert (await two.request(Do(what="go on")))["type"] == "ack"
        assert (await one.expect(Said)).text == "before"
        assert (await one.expect(Said)).text == "before"


async def test_an_exception_handler_that_fails_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    chat = MessageProtocol("Errors")

    @chat.exception_handler(LookupError)
    async def handle(connection: Connection, error: LookupError) -> None:
        raise ZeroDivisionError("the handler's own")

    @chat.on(Do)
    async def do(message: Do) -> None:
        raise LookupError("the first")

    app = served(chat)
    async with Client(app) as client:
        assert (await client.request(Do(what="x")))["code"] == "internal_error"
    assert "the first" in caplog.text
    assert "the handler's own" in caplog.text


async def test_the_log_says_what_has_failed_for_which_connection(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        text = True

        def decode(self, frame: str | bytes) -> tuple[bytes]:
            raise LookupError

        def encode(self, body: bytes) -> bytes:
            return body

    chat = MessageProtocol("Errors", codec=Broken(), receives=Do)

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        if connection.query_params:
            raise LookupError

    app = served(chat)
    for query, what in (("", "The reading of a frame"), ("fail=1", "on_connect")):
        async with Client(app, query=query) as client:
            await client.send("x")
            error_id = (await client.expect("error"))["error_id"]
        assert caplog.messages[-1].startswith(f"{what} failed: error_id={error_id} connection=")


@pytest.mark.parametrize("token, close", [("good", None), ("another", 3500), ("bad", 3500)])
async def test_authenticate_asks_the_verifier_that_middleware_has_left(token: str, close: int | None) -> None:
    app = create_app()

    async def verifier(token: str) -> User | None:
        return {"good": User("alice"), "another": User("bob")}.get(token)

    client = Client(app, user="alice")
    client.scope[VERIFIER] = verifier
    async with client:
        await client.send({"type": "authenticate", "token": token}, id=1)
        if close is None:
            assert await client.expect("ack") == {"type": "ack", "ref": 1}
        else:
            assert await client.expect_close() == (close, "invalid token")
            assert client.frames == []


async def test_every_code_of_the_framework_is_provoked_here(request: pytest.FixtureRequest) -> None:
    await settle()
    text = request.path.read_text()
    elsewhere = {codes.CANCELLED}  # tests/test_cancelling.py
    assert [code for code in codes.ERROR_CODES if f'"{code}"' not in text and code not in elsewhere] == []
