"""Frames as they arrive, before anything of them is a message."""

import pytest

from protocol import Message, MessageProtocol
from protocol.testing import Client
from tests.served import served


class Say(Message, type="say"):
    text: str


@pytest.mark.parametrize("length", [10, 20_000])
async def test_a_frame_with_half_a_surrogate_pair_is_malformed_at_any_length(length: int) -> None:
    chat = MessageProtocol("Reader")

    @chat.on(Say)
    async def say(message: Say) -> None: ...

    app = served(chat)
    async with Client(app) as client:
        await client.send('{"type":"say","text":"' + "\ud800" * length + '"}')
        assert (await client.expect("error"))["code"] == "malformed_frame"
        assert await client.request(Say(text="fine")) == {"type": "ack", "ref": 1}
