"""Options of the wrong kind are refused where they are given."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol import Connection, MessageProtocol, MessageRouter, Outbox, Rate, Reject
from tests.misdeclared import Ask, asked, place, refusal

# What a program without types may say.
Untyped: Any = MessageRouter


async def lobby(connection: Connection) -> None: ...


@pytest.mark.parametrize(
    "declare, text",
    [
        (
            lambda: Untyped().on(Ask, concurrent=3)(asked),
            f"{place(asked)}: concurrent= takes True or False, not 3.",
        ),
        (
            lambda: Untyped().room("a", presence="no")(lobby),
            "@room('a', presence=…) takes True or False, not 'no'.",
        ),
        (
            lambda: MessageProtocol("Chat", max_frame=True),
            "MessageProtocol(max_frame=…) takes a whole number of at least 1, not True.",
        ),
        (
            lambda: Rate(True),
            "Rate(per_second=…) takes a finite number of messages per second above 0, not True.",
        ),
        (
            lambda: Outbox(seconds=True),
            "Outbox(seconds=…) takes a finite number of seconds above 0, not True.",
        ),
        (
            lambda: Reject("internal_error"),
            (
                "The error code 'internal_error' is what any other exception becomes, with an id for the log. Give the "
                "rejection a code of its own."
            ),
        ),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused(declare: Callable[[], object], text: str) -> None:
    assert refusal(declare) == text
