"""The test client itself: what it waits for, and what it says when that does not come."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from protocol import Envelope, Message, MessageProtocol
from protocol.testing import Client, Refused
from tests.served import served


class Say(Message, type="say"):
    text: str
    seconds: float = 0


class Other(Message, type="other"):
    text: str = ""


def create_app(**options: Any) -> FastAPI:
    chat = MessageProtocol("Echo", sends=Other, **options)

    @chat.on(Say, emits=Say)
    async def say(message: Say) -> Say:
        await asyncio.sleep(message.seconds)
        return message

    return served(chat)


async def test_what_can_never_come_fails_at_once_and_shows_what_is_there() -> None:
    async with Client(create_app()) as client:
        await client.send(Say(text="hi"))
        with pytest.raises(AssertionError) as error:
            await client.expect(Say, text="ho")
        assert str(error.value) == (
            "No Say(text='ho') came. There is:\n  {'type': 'say', 'text': 'hi', 'seconds': 0.0}\n"
            "No time has passed. If it takes some, say how much: within=seconds."
        )
        with pytest.raises(AssertionError) as error:
            await client.expect("other")
        assert str(error.value).startswith("No other() came. There is:\n")
        with pytest.raises(AssertionError) as error:
            await client.expect_nothing()
        assert str(error.value).startswith("Nothing was expected. There is:\n")
        with pytest.raises(AssertionError) as error:
            await client.expect_close()
        assert str(error.value).startswith("The connection is open. There is:\n")
        await client.expect(Say, text="hi")
        await client.expect_nothing()


async def test_time_passes_only_where_it_is_allowed_to() -> None:
    async with Client(create_app()) as client:
        await client.send(Say(text="slow", seconds=5))
        with pytest.raises(AssertionError):
            await client.expect(Say)
        with pytest.raises(AssertionError):
            await client.expect(Say, within=4)
        await client.expect(Say, within=2)


async def test_an_answer_may_take_time_where_that_is_said() -> None:
    async with Client(create_app()) as client:
        with pytest.raises(AssertionError) as error:
            await client.request(Say(text="slow", seconds=5))
        assert str(error.value) == (
            "No answer to the id 1 came. There is:\n  nothing\n"
            "No time has passed. If it takes some, say how much: within=seconds."
        )
        with pytest.raises(AssertionError) as error:
            await client.request(Say(text="slow", seconds=5), within=9)  # it has its turn after the first
        assert str(error.value) == (
            "No answer to the id 2 came. There is:\n  {'type': 'say', 'text': 'slow', 'seconds': 5.0, 'ref': 1}"
        )
        assert (await client.request(Say(text="slow", seconds=5), Say, within=7)).text == "slow"


async def test_an_answer_of_another_type_is_shown() -> None:
    async with Client(create_app()) as client:
        assert await client.request(Say(text="hi"), Say) == Say(text="hi")
        with pytest.raises(AssertionError, match=r"The answer is no Other: \{'type': 'say'"):
            await client.request(Say(text="hi"), Other)


async def test_an_expectation_ends_with_the_connection_and_says_so() -> None:
    async with Client(create_app()) as client:
        for _ in range(50):
            await client.send("[]")
        with pytest.raises(AssertionError, match="The connection is closed: 3509 too many errors"):
            await client.expect(Say)
        with pytest.raises(AssertionError) as error:
            await client.expect_close(1000)
        assert str(error.value) == "A close with 1000 was expected, not (3509, 'too many errors')."


async def test_a_renamed_envelope_is_spoken() -> None:
    envelope = Envelope(id="nr", ref="re")
    async with Client(create_app(envelope=envelope), envelope=envelope) as client:
        assert await client.request(Say(text="hi")) == {
            "type": "say", "text": "hi", "seconds": 0.0, "re": 1,
        }  # fmt: skip


async def test_a_refusal_has_its_status_headers_and_body() -> None:
    with pytest.raises(Refused) as refused:
        await Client(create_app(path=("/ws", "/also/{name}")), "/nowhere").connect()
    assert refused.value.status == 403
    assert str(refused.value) == (
        "The connection to '/nowhere' was refused with 403. Protocols are served at '/ws', '/also/{name}'."
    )


async def test_what_the_application_raises_is_raised_where_it_is_closed() -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def fail(websocket: WebSocket) -> None:
        await websocket.accept()
        raise LookupError("of the application")

    client = await Client(app).connect()
    assert await client.expect_close() == (1006, "")
    with pytest.raises(LookupError, match="of the application"):
        await client.close()


async def test_an_application_that_never_answers_the_handshake_is_told_of() -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def silent(websocket: WebSocket) -> None:
        await asyncio.sleep(3600)

    client = Client(app)
    with pytest.raises(AssertionError, match="The application neither accepts nor refuses"):
        await client.connect()
    assert client._task is not None
    client._task.cancel()


@pytest.mark.parametrize("wire", [False, True])
async def test_frames_may_take_either_way_to_the_client(wire: bool) -> None:
    async with Client(create_app(), wire=wire) as client:
        for index in range(100):
            await client.send(Say(text=str(index)), id=index)
        await client.expect(Say, text="99")
        assert [frame["text"] for frame in client.frames] == [str(index) for index in range(99)]
        client.frames.clear()
        client.pause()
        await client.send(Say(text="paused"))
        await client.expect_nothing()
        client.resume()
        await client.expect(Say, text="paused")


def test_it_works_on_a_loop_with_real_time_too() -> None:
    async def scenario() -> None:
        async with Client(create_app(), patience=0.1) as client:
            assert await client.request(Say(text="hi"), Say) == Say(text="hi")
            await client.expect_nothing()
            with pytest.raises(AssertionError, match="No other"):
                await client.expect("other")

    asyncio.run(scenario())
