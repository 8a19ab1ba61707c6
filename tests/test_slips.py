"""What is written by mistake, and by nobody who has read the page to its end, is told what to write instead."""

from typing import Any

import pytest
from fastapi import FastAPI

from protocol import ConfigurationError, LocalProtocolError, Message, MessageProtocol, MessageRouter, Rate
from protocol.testing import Client
from tests.served import served


class Ask(Message, type="ask"):
    text: str = ""


@pytest.mark.parametrize("router", [MessageProtocol("Chat", receives=Ask), MessageRouter()])
def test_an_application_that_includes_the_protocol_itself_is_told_of_its_router(router: Any) -> None:
    with pytest.raises(
        AttributeError, match=r"is no APIRouter.* includes the router of a protocol, app.include_router"
    ):
        FastAPI().include_router(router)
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = router.no_such_name


async def test_a_user_is_named_by_a_string() -> None:
    chat = MessageProtocol("Chat", receives=Ask)
    async with Client(served(chat)):
        with pytest.raises(LocalProtocolError) as error:
            chat.users[5]  # type: ignore[index]
    assert str(error.value) == "users[…] takes the id of a user, a string, not 5."


def test_an_unknown_class_argument_of_a_message_is_named() -> None:
    with pytest.raises(ConfigurationError) as error:
        type("Say", (Message,), {}, tag="say")
    assert str(error.value) == (
        "Say: unknown class argument tag. A message takes type, discriminator, slow and slow_key, and what pydantic's "
        "ConfigDict takes."
    )


def test_the_burst_of_a_rate_is_named() -> None:
    with pytest.raises(ConfigurationError) as error:
        Rate(10, 40)  # type: ignore[arg-type]
    assert str(error.value) == "Rate takes one number per second; how many at once is Rate(10, burst=…)."
