"""Private messages."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.chat.people import create, person

KEY = "0123456789abcdef"
OFFLINE = {
    "type": "error",
    "code": "recipient_offline",
    "detail": "The recipient is not there.",
    "retryable": False,
}


def private(to: str, text: str = "psst") -> dict[str, Any]:
    return {"type": "private", "to": to, "text": text}


async def test_a_private_message_reaches_the_recipients_connections_and_the_senders_other_ones() -> None:
    app = create()
    async with (
        person(app, "alice") as alice,
        person(app, "alice") as tab,
        person(app, "bob") as one,
        person(app, "bob", "/ws/general") as two,
        person(app, "carol", "/ws/general") as carol,
    ):
        await two.expect("joined")
        await two.expect("member_joined")
        await carol.expect("joined")
        assert await alice.request(private("bob")) == {"type": "ack", "ref": 1}
        for client in (one, two, tab):
            message = await client.expect("private")
            at = datetime.fromisoformat(message.pop("at"))
            assert at.tzinfo == UTC
            assert message == {"type": "private", "user": "alice", "to": "bob", "text": "psst"}
            await client.expect_nothing()
        await alice.expect_nothing()
        await carol.expect_nothing()


async def test_of_a_recipient_who_is_not_there_the_sender_alone_is_told() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "alice") as tab:
        assert await alice.request(private("bob")) == OFFLINE | {"ref": 1}
        await alice.send(private("bob"))
        assert await alice.expect("error") == OFFLINE
        await tab.expect_nothing()


async def test_who_has_gone_is_offline() -> None:
    app = create()
    async with person(app, "alice") as alice:
        async with person(app, "bob"):
            pass
        assert (await alice.request(private("bob")))["code"] == "recipient_offline"


async def test_a_private_message_to_oneself_reaches_the_other_connections_once() -> None:
    app = create()
    async with person(app, "alice") as alice:
        assert (await alice.request(private("alice")))["code"] == "recipient_offline"
        async with person(app, "alice") as tab:
            assert (await alice.request(private("alice")))["type"] == "ack"
            assert (await tab.expect("private"))["text"] == "psst"
            await tab.expect_nothing()
        await alice.expect_nothing()


async def test_a_key_is_no_use_on_a_private_message_and_does_no_harm() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "bob") as bob:
        for _ in range(2):
            assert await alice.request(private("bob"), key=KEY) in [
                {"type": "ack", "ref": 1},
                {"type": "ack", "ref": 2},
            ]
        await bob.expect("private")
        await bob.expect("private")


@pytest.mark.parametrize("to", ["", "x" * 65, None, 1])
async def test_what_is_no_user_name_is_an_invalid_message(to: Any) -> None:
    async with person(create(), "alice") as alice:
        answer = await alice.request(private(to))
        assert (answer["code"], answer["errors"][0]["loc"]) == ("invalid_message", ["to"])


@pytest.mark.parametrize(
    "text, masked",
    [
        ("damn", "****"),
        ("Damn, that CRAP is bloody!", "****, that **** is ******!"),
        ("god-damn it, damn's", "god-**** it, ****'s"),
        ("damned scrap, crap_it, bloodyhell", "damned scrap, crap_it, bloodyhell"),
        ("\uff44\uff41\uff4d\uff4e full-width", "**** full-width"),
        ("d\u00ada\u200bmn", "******"),
    ],
)
async def test_censored_words_are_masked_by_as_many_asterisks_in_rooms_and_in_private(
    text: str, masked: str
) -> None:
    app = create()
    async with person(app, "alice", "/ws/general") as alice, person(app, "bob", "/ws/general") as bob:
        await bob.expect("joined")
        await alice.request({"type": "message", "room": "general", "text": text})
        assert (await bob.expect("message"))["text"] == masked
        assert (await alice.expect("message"))["text"] == masked
        await alice.request(private("bob", text))
        assert (await bob.expect("private"))["text"] == masked


async def test_names_are_not_censored() -> None:
    app = create()
    async with person(app, "alice", "/ws/damn") as alice, person(app, "damn", "/ws/damn") as damn:
        assert (await damn.expect("joined"))["room"] == "damn"
        await damn.request({"type": "message", "room": "damn", "text": "hi"})
        message = await alice.expect("message")
        assert (message["room"], message["user"]) == ("damn", "damn")
        assert (await alice.request(private("damn")))["type"] == "ack"
