"""The examples, held to what the fuzzer checks: people copy them."""

from typing import Any

import jwt
import pytest

from examples import (
    access_log,
    custom_protocol,
    direct_messages,
    first_message_auth,
    jwt_auth,
    monitoring,
    rooms,
    streaming,
    transforms,
)
from protocol.fuzzing import fuzz_test
from protocol.fuzzing.arena import Login


def named(client: int) -> dict[str, str]:
    return {"x-user": "abc"[client % 3]}


def bearer(client: int) -> str:
    return jwt.encode({"sub": "abc"[client % 3], "exp": 2**33}, jwt_auth.KEY, "HS256")


@pytest.mark.parametrize(
    "example, login",
    [
        (access_log, None), (custom_protocol, None), (direct_messages, named), (jwt_auth, bearer), (monitoring, None),
        (rooms, named), (streaming, None), (transforms, None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_the_fuzzer_finds_nothing(example: Any, login: Login | None) -> None:
    fuzz_test(lambda: example.app, login=login, max_examples=25)()


def test_the_fuzzer_finds_nothing_behind_a_first_message() -> None:
    opening = {"type": "log_in", "token": next(iter(first_message_auth.TOKENS))}
    fuzz_test(lambda: first_message_auth.app, opening=opening, max_examples=25)()
