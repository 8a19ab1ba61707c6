"""What bad input gets, end to end: one typed error, and the connection lives."""

from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from protocol import Connection, Message, MessageProtocol, Room
from protocol.testing import Client

SECRET = "hunter2"


class Cell(BaseModel):
    model_config = {"strict": True}

    value: int


class Put(Message, type="put"):
    name: str
    number: int = 0
    items: list[int] = []
    cells: dict[str, Cell] = {}


class Say(Message, type="say"):
    room: str


def create_app() -> FastAPI:
    chat = MessageProtocol("Chat")

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Put)
    async def put(message: Put) -> None: ...

    @chat.on(Say)
    async def say(message: Say, room: Room) -> None: ...

    app = FastAPI()
    app.include_router(chat.router)
    return app


def put(**members: Any) -> str:
    return orjson.dumps({"type": "put", "name": "x", "id": 7, **members}).decode()


BAD: dict[str, tuple[str | bytes, str, int | None]] = {
    "binary": (b'{"type":"put","name":"x"}', "malformed_frame", None),
    "empty": ("", "malformed_frame", None),
    "array": ("[]", "malformed_frame", None),
    "number": ("1", "malformed_frame", None),
    "string": ('""', "malformed_frame", None),
    "no JSON": (SECRET, "malformed_frame", None),
    "nested arrays": ("[" * 60_000, "malformed_frame", None),
    "nested objects": ('{"a":' * 12_000, "malformed_frame", None),
    "surrogate": ('{"type":"put","name":"\\ud800","id":7}', "malformed_frame", None),
    "raw surrogate": ('{"type":"put","name":"\ud800","id":7}', "malformed_frame", None),
    "no type": ('{"name":"hunter2","id":7}', "unknown_type", 7),
    "type of another kind": ('{"type":1,"id":7}', "unknown_type", 7),
    "unknown type": ('{"type":"hunter2","id":7}', "unknown_type", 7),
    "prototype": ('{"type":"__proto__","id":7}', "unknown_type", 7),
    "extra": (put(hunter2=1), "invalid_message", 7),
    "prototype member": (put(__proto__={"hunter2": 1}), "invalid_message", 7),
    "not a number": ('{"type":"put","name":"x","number":NaN,"id":7}', "invalid_message", 7),
    "a string for a number": (put(number=SECRET), "invalid_message", 7),
    "a fraction": (put(number=1.5), "invalid_message", 7),
    "wrong items": (put(items=[SECRET] * 5000), "invalid_message", 7),
    "wrong keys": (put(cells={f"{SECRET}{number}": {} for number in range(3000)}), "invalid_message", 7),
    "long key": (put(cells={SECRET * 8000: 1}), "invalid_message", 7),
    "many extras": (put(**{f"{SECRET}{number}": 1 for number in range(4000)}), "invalid_message", 7),
    "deep": (put(cells={"a": {"value": {"value": SECRET}}}), "invalid_message", 7),
    "id": (put(id=2**53 + 1), "invalid_message", None),
    "key": (put(key=SECRET), "invalid_message", 7),
    "a room that cannot be": ('{"type":"say","room":"hunter 2","id":7}', "not_found", 7),
    "a room never joined": ('{"type":"say","room":"hunter2","id":7}', "not_a_member", 7),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_gets_one_small_error_without_echo_on_a_living_connection(name: str) -> None:
    frame, code, ref = BAD[name]
    async with Client(create_app()) as client:
        await client.send(frame)
        error = await client.expect("error")
        assert (error["code"], error.get("ref"), error["retryable"]) == (code, ref, False)
        text = orjson.dumps(error)
        assert len(text) <= 1024
        assert SECRET.encode() not in text
        assert len(error.get("errors", [])) <= 5
        await client.send({"type": "ping", "id": 8})
        assert await client.expect("pong") == {"type": "pong", "ref": 8}
        await client.expect_nothing()


async def test_an_error_names_the_places_that_the_schema_knows() -> None:
    async with Client(create_app()) as client:
        await client.send(put(cells={SECRET: {"value": SECRET}}, number="1"))
        assert await client.expect("error") == {
            "type": "error",
            "code": "invalid_message",
            "detail": "number: Input should be a valid integer",
            "ref": 7,
            "retryable": False,
            "errors": [
                {"loc": ["number"], "type": "int_type", "msg": "Input should be a valid integer"},
                {
                    "loc": ["cells", "?", "value"],
                    "type": "int_type",
                    "msg": "Input should be a valid integer",
                },
            ],
        }


async def test_what_a_transform_breaks_is_told_as_if_the_client_had_sent_it() -> None:
    chat = MessageProtocol("Chat")

    @chat.transform
    def breaks(message: Put) -> Put:
        return message.replace(number="x")

    @chat.on(Put)
    async def handle(message: Put) -> None: ...

    app = FastAPI()
    app.include_router(chat.router)
    async with Client(app) as client:
        error = await client.request(Put(name="x"))
        assert (error["code"], error["errors"]) == (
            "invalid_message",
            [{"loc": ["number"], "type": "int_type", "msg": "Input should be a valid integer"}],
        )
