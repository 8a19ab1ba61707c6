"""What bad input gets, end to end: one typed error, and the connection lives."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, ByteSize, ImportString, create_model

from protocol import Connection, Message, MessageProtocol, Room
from protocol.testing import Client
from tests.served import served

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


def no_such_name(value: str) -> str:
    raise ValueError(f"there is no {value!r}")


def create_app() -> FastAPI:
    chat = MessageProtocol("Chat")

    @chat.room("{name}")
    async def anyone(connection: Connection, name: str) -> None: ...

    @chat.on(Put)
    async def put(message: Put) -> None: ...

    @chat.on(Say)
    async def say(message: Say, room: Room) -> None: ...

    return served(chat)


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


@pytest.mark.parametrize(
    "kind, value",
    [
        (IPv4Address, SECRET),
        (IPv4Address, f'"{SECRET}\\'),
        (list[IPv4Address | IPv6Address], [SECRET]),
        (dict[str, IPv6Network], {"a": f"{SECRET}/8"}),
        (ZoneInfo, SECRET),
        (ByteSize, f"1 {SECRET}"),
        (ImportString, f"{SECRET}.b"),
        (Annotated[str, AfterValidator(no_such_name)], SECRET),
        (list[Annotated[str, AfterValidator(no_such_name)]], [SECRET] * 2000),
    ],
)
async def test_no_validator_of_anybody_brings_the_input_back(kind: Any, value: Any) -> None:
    model = create_model("Model", __base__=Message, __cls_kwargs__={"type": "m"}, value=(kind, ...))
    app = FastAPI()
    app.include_router(MessageProtocol("Chat", receives=model).router)
    async with Client(app) as client:
        error = await client.request({"type": "m", "value": value})
        assert error["code"] == "invalid_message"
        assert error["errors"][0]["loc"][0] == "value"
        assert SECRET not in str(error)


async def test_what_a_validator_says_by_itself_is_told() -> None:
    def refused(value: str) -> str:
        raise ValueError("a name has no digits")

    class Name(Message, type="name"):
        name: Annotated[str, AfterValidator(refused)]

    app = FastAPI()
    app.include_router(MessageProtocol("Chat", receives=Name).router)
    async with Client(app) as client:
        error = await client.request({"type": "name", "name": SECRET})
        assert error["detail"] == "name: Value error, a name has no digits"


@pytest.mark.parametrize(
    "kind, value",
    [(ZoneInfo, "a/" * 29_999 + "a"), (re.Pattern[str], "(" * 5000), (re.Pattern[str], "a{99999999999}")],
    ids=["zone", "deep", "large"],
)
async def test_what_pythons_library_cannot_read_is_invalid(
    kind: Any, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = create_model("Model", __base__=Message, __cls_kwargs__={"type": "m"}, value=(kind, ...))
    app = FastAPI()
    app.include_router(MessageProtocol("Chat", receives=model).router)
    async with Client(app) as client:
        error = await client.request({"type": "m", "value": value})
        assert (error["code"], error["detail"]) == (
            "invalid_message",
            "A value is too long, too deep or too large to be read.",
        )
        assert (await client.request({"type": "ping"}))["type"] == "pong"
    assert not caplog.records


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

    app = served(chat)
    async with Client(app) as client:
        error = await client.request(Put(name="x"))
        assert (error["code"], error["errors"]) == (
            "invalid_message",
            [{"loc": ["number"], "type": "int_type", "msg": "Input should be a valid integer"}],
        )


async def test_what_a_transform_breaks_is_told_without_what_it_made_of_the_input() -> None:
    class Named(Message, type="named"):
        name: Annotated[str, AfterValidator(lambda value: value if value == SECRET else no_such_name(value))]

    chat = MessageProtocol("Chat", receives=Named)

    @chat.transform
    def breaks(message: Named) -> Named:
        return message.replace(name=f"{message.name}!")

    app = served(chat)
    async with Client(app) as client:
        error = await client.request(Named(name=SECRET))
        assert error["detail"] == "name: Input is not valid"
