"""``ProtocolMiddleware`` over endpoints that know nothing of it."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect, WebSocketException
from starlette.middleware import Middleware

from protocol import Connection, Disconnect, Message, MessageProtocol, Reject
from protocol.exceptions import LocalProtocolError, Unavailable
from protocol.middleware.protocol import ProtocolMiddleware
from protocol.testing import Client, Refused, settle
from protocol.types import ASGIApp, Receive, Scope, Send
from tests.served import served


class Ask(Message, type="ask"):
    text: str
    seconds: float = 0


class Note(Message, type="note"):
    text: str


class Answer(Message, type="answer"):
    text: str


def declared(**options: Any) -> MessageProtocol:
    chat = MessageProtocol("Chat", receives=Note, sends=(Answer, Note), **options)

    @chat.transform()
    def clean(message: Note) -> Note:
        return (
            message.replace(text=message.text.replace("damn", "****")) if "damn" in message.text else message
        )

    @chat.transform(outbound=True)
    def shout(message: Answer) -> Answer | None:
        return None if message.text == "secret" else message.replace(text=message.text.upper())

    @chat.on(Ask)
    async def ask(message: Ask) -> Answer:
        await asyncio.sleep(message.seconds)
        return Answer(text=message.text)

    return chat


def guarded(chat: MessageProtocol, path: str | None = "/plain") -> tuple[FastAPI, list[Any]]:
    """An application with a plain endpoint, and what that receives."""
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=chat, path=path)])
    received: list[Any] = []

    @app.websocket("/plain")
    async def plain(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                text = await websocket.receive_text()
                received.append(text)
                if text == '{"type":"note","text":"quit"}':
                    return
        except WebSocketDisconnect as error:
            received.append(error.code)

    @app.websocket("/other")
    async def other(websocket: WebSocket) -> None:
        await websocket.accept()
        received.append((await websocket.receive()).get("text"))

    @app.get("/http")
    async def http() -> str:
        return "untouched"

    return app, received


class Nosy:
    """Wraps ``send`` and does not say why."""

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def nosy_send(event: Any) -> None:
            self.seen.append(event["type"])
            await send(event)

        await self.app(scope, receive, nosy_send)


async def test_handlers_take_their_messages_and_the_endpoint_gets_the_rest_as_it_came() -> None:
    app, received = guarded(declared())
    async with Client(app, "/plain") as client:
        await client.send('{"type":"note",  "text":"a", "id":"1"}')
        await client.send('{"id":5,"text":"damn","type":"note","key":"0123456789abcdef"}')
        assert await client.request(Ask(text="hi")) == {"type": "answer", "text": "HI", "ref": 1}
        await client.send("nonsense")
        assert (await client.expect("error"))["code"] == "malformed_frame"
        await client.expect_nothing()
        assert received == [
            '{"type":"note",  "text":"a", "id":"1"}',
            '{"type":"note","text":"****","id":5,"key":"0123456789abcdef"}',
        ]
    assert received[-1] == 1000


async def test_other_sockets_and_http_pass_untouched() -> None:
    app, received = guarded(declared())
    async with Client(app, "/other") as client:
        await client.send("nonsense")
    assert received == ["nonsense"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        assert (await http.get("/http")).json() == "untouched"


async def test_without_a_path_every_socket_is_ours() -> None:
    app, _ = guarded(declared(), None)
    for path in ("/plain", "/other"):
        async with Client(app, path) as client:
            assert (await client.request(Ask(text="hi")))["text"] == "HI"


async def test_a_path_is_matched_below_the_mount_point_and_its_parameters_are_the_connections() -> None:
    chat = MessageProtocol("Chat")
    seen: list[Any] = []

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        seen.append(connection.path_params)

    inner = FastAPI()

    @inner.websocket("/plain/{number:int}")
    async def plain(websocket: WebSocket, number: int) -> None:
        seen.append(number)
        await websocket.accept()
        await websocket.receive()

    app = FastAPI()
    app.mount("/app", ProtocolMiddleware(inner, chat, path="/plain/{number:int}"))
    async with Client(app, "/app/plain/7"):
        await settle()
    assert seen == [7, {"number": 7}]


async def test_handlers_run_beside_the_endpoint_and_no_wait_for_around_receive_cuts_them() -> None:
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=declared())])
    timeouts = 0

    @app.websocket("/impatient")
    async def impatient(websocket: WebSocket) -> None:
        nonlocal timeouts
        await websocket.accept()
        while True:
            try:
                await asyncio.wait_for(websocket.receive_text(), 0.1)
            except TimeoutError:
                timeouts += 1
            except WebSocketDisconnect:
                return

    async with Client(app, "/impatient") as client:
        await client.send(Ask(text="slow", seconds=5), id=1)
        assert (await client.expect("answer", within=6))["text"] == "SLOW"
    assert timeouts >= 49


async def test_what_the_endpoint_sends_is_validated_and_transformed_and_keeps_its_ref() -> None:
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=declared())])

    @app.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"type": "answer", "text": "hi", "ref": 7})
        await websocket.send_json({"type": "answer", "text": "secret"})
        await websocket.receive_text()
        await websocket.send_json({"type": "answer"})

    client = await Client(app, "/").connect()
    assert await client.expect("answer") == {"type": "answer", "text": "HI", "ref": 7}
    await client.expect_nothing()
    await client.send(Note(text="go on"))
    assert await client.expect_close() == (3010, "insufficient state")
    with pytest.raises(LocalProtocolError) as error:
        await client.close()
    assert str(error.value) == "The endpoint sends what the protocol does not: text: Field required"


async def test_an_endpoint_that_returns_closes_the_connection() -> None:
    app, received = guarded(declared())
    async with Client(app, "/plain") as client:
        await client.send(Ask(text="slow", seconds=5), id=1)
        await client.send(Note(text="behind"))
        await client.expect_nothing()
    async with Client(app, "/plain") as client:
        await client.send('{"type":"note","text":"quit"}')
        assert await client.expect_close() == (1000, "normal closure")
    assert received == [1000, '{"type":"note","text":"quit"}']


async def test_an_endpoint_that_closes_chooses_the_code_and_what_it_sent_comes_first() -> None:
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=declared())])
    after: list[str] = []

    @app.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"type": "answer", "text": "bye"})
        await websocket.close(4001, "enough")
        await asyncio.sleep(1)
        after.append("still here")

    async with Client(app, "/") as client:
        await client.expect(Answer)
        assert await client.expect_close() == (4001, "enough")
    assert after == ["still here"]


async def test_an_endpoint_that_fails_ends_the_connection_and_its_error_passes() -> None:
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=declared())])

    @app.websocket("/")
    async def fail(websocket: WebSocket) -> None:
        await websocket.accept()
        raise LookupError("the endpoint's")

    client = await Client(app, "/").connect()
    assert await client.expect_close() == (3010, "insufficient state")
    with pytest.raises(LookupError, match="the endpoint's"):
        await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_endpoint_that_sends_to_a_peer_that_is_gone_is_told() -> None:
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=declared())])
    told: list[int] = []

    @app.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(1)
        try:
            await websocket.send_json({"type": "answer", "text": "anybody?"})
        except WebSocketDisconnect as error:
            told.append(error.code)

    client = await Client(app, "/").connect()
    client.drop()
    await client.close()
    assert told == [1006]


async def test_an_endpoint_that_does_not_receive_holds_up_what_is_for_it() -> None:
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=declared())])
    received: list[str] = []

    @app.websocket("/")
    async def lazy(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(5)
        while len(received) < 200:
            received.append((await websocket.receive_json())["text"])
        await websocket.receive()

    async with Client(app, "/") as client:
        for index in range(200):
            await client.send(Note(text=str(index)))
        await client.send(Ask(text="behind"), id=1)
        await client.expect_nothing()
        await client.expect("answer", within=6)
        assert received == [str(index) for index in range(200)]


async def test_an_endpoint_may_refuse_before_it_accepts() -> None:
    app = FastAPI(middleware=[Middleware(ProtocolMiddleware, protocol=declared())])

    @app.websocket("/")
    async def refuse(websocket: WebSocket) -> None:
        raise HTTPException(403, "no")

    with pytest.raises(Refused) as refused:
        await Client(app, "/").connect()
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "raised, status",
    [
        (Reject(), 403),
        (Reject("not_found"), 404),
        (HTTPException(429, "slow down", {"Retry-After": "3"}), 429),
        (HTTPException(402, "pay first"), 402),
        (Unavailable("The broker does not answer."), 503),
        (LookupError("a secret"), 503),
        (Disconnect(4500, "not you"), 403),
        (WebSocketException(4500), 403),
    ],
)
async def test_a_room_in_the_path_is_asked_before_accept(
    raised: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    chat = MessageProtocol("Chat", path=("/ws", "/ws/{room}"))
    hooks: list[str] = []

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None:
        if name == "refused":
            raise raised

    @chat.on_connect
    async def connected(connection: Connection) -> None:
        hooks.append(connection.path_params.get("room", ""))

    app = served(chat)
    with pytest.raises(Refused) as refused:
        await Client(app, "/ws/refused").connect()
    assert refused.value.status == status
    assert b"secret" not in refused.value.body
    assert refused.value.headers.get("retry-after") == ("3" if status == 429 else None)
    assert ("Traceback" in caplog.text) == isinstance(raised, LookupError)
    with pytest.raises(Refused) as refused:
        await Client(app, "/ws/no such").connect()
    assert refused.value.status == 404
    async with Client(app, "/ws/open"), Client(app):
        pass
    assert hooks == ["open", ""]


async def test_a_room_in_the_path_is_asked_whatever_its_parameter_is_converted_to() -> None:
    chat = MessageProtocol("Chat", path="/ws/{room:int}")

    @chat.room("{number}")
    async def room(connection: Connection, number: int) -> None:
        if number > 9:
            raise Reject

    app = served(chat)
    async with Client(app, "/ws/7"):
        pass
    with pytest.raises(Refused) as refused:
        await Client(app, "/ws/17").connect()
    assert refused.value.status == 403


async def test_a_room_may_refuse_with_a_code_of_the_application_on_a_server_that_answers_by_closing_only() -> (
    None
):
    chat = MessageProtocol("Chat", path="/ws/{room}")

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None:
        raise Disconnect(4500, "not you")

    app = served(chat)
    client = Client(app, "/ws/a")
    del client.scope["extensions"]["websocket.http.response"]
    with pytest.raises(Refused) as refused:
        await client.connect()
    assert refused.value.status == 403


async def test_without_declared_rooms_a_parameter_that_is_called_room_is_one_like_any_other() -> None:
    chat = declared()
    app = FastAPI()
    app.add_middleware(ProtocolMiddleware, protocol=chat, path="/talk/{room}")

    @app.websocket("/talk/{room}")
    async def talk(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await websocket.send_json({"type": "answer", "text": room})

    async with Client(app, "/talk/no room of a protocol") as client:
        assert (await client.expect("answer"))["text"] == "NO ROOM OF A PROTOCOL"


async def test_the_first_subprotocol_of_ours_that_is_offered_is_chosen() -> None:
    chat = MessageProtocol("Chat", subprotocols=("chat.v2", "chat.v1"))
    app = served(chat)
    for offered, chosen in ((["x", "chat.v1", "chat.v2"], "chat.v2"), (["x"], None), ([], None)):
        async with Client(app, subprotocols=offered) as client:
            assert client.accepted is not None
            assert client.accepted.get("subprotocol") == chosen


async def test_a_wrapper_of_send_sees_every_frame_and_is_named_once_for_each_application(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = declared()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            app = served(chat)
            seen: list[str] = []
            app.add_middleware(Nosy, seen=seen)
            for _ in range(2):
                async with Client(app, wire=True) as client:
                    await client.request(Ask(text="hi"))
            assert seen == ["websocket.accept", "websocket.send"] * 2
    text = (
        "Nosy wraps `send`, so every frame takes the slow way through it. If it only looks at what is sent, declare "
        "that by protocol.types.passes(wrapper, send)."
    )
    assert [record.getMessage() for record in caplog.records] == [text] * 2


async def test_a_lifespan_through_the_middleware_closes_the_node() -> None:
    chat = declared()
    app, _ = guarded(chat)
    events: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, events.get, said.put))
    await events.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    client = await Client(app, "/plain").connect()
    node = chat.at(app)
    await events.put({"type": "lifespan.shutdown"})
    assert (await said.get())["type"] == "lifespan.shutdown.complete"
    assert node.closed
    assert await client.expect_close() == (3001, "shutdown")
    await client.close()
    await task
