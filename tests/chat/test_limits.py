"""How much one may send, join and connect, and what is answered above."""

import asyncio
import itertools
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from protocol.testing import Client, Refused
from tests.chat.people import create, join, person, say

LIMITED = [
    (say("general", "hi"), 40),
    ({"type": "private", "to": "alice", "text": "hi"}, 40),
    ({"type": "status", "status": "away"}, 40),
    (join("general"), 64),
    ({"type": "leave", "room": "general"}, 64),
]


@pytest.mark.parametrize(
    "message, burst", LIMITED, ids=lambda value: value["type"] if isinstance(value, dict) else ""
)
async def test_each_type_has_10_a_second_and_its_burst(message: dict[str, Any], burst: int) -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "alice"), person(app, "bob") as bob:
        answers = [await alice.request(message) for _ in range(burst + 1)]
        assert "rate_limited" not in [answer.get("code") for answer in answers[:-1]]
        wait = answers[-1].pop("retry_after")
        assert answers[-1] == {
            "type": "error",
            "code": "rate_limited",
            "detail": answers[-1]["detail"],
            "retryable": True,
            "ref": burst + 1,
        }
        assert 0.09 <= wait <= 0.1
        # Another user, and all that is of another type, are not concerned.
        assert (await bob.request(message)).get("code") != "rate_limited"
        for other, _ in LIMITED:
            limited = (await alice.request(other)).get("code") == "rate_limited"
            assert limited is (other == message)
        await asyncio.sleep(wait)
        assert (await alice.request(message)).get("code") != "rate_limited"
        assert (await alice.request(message))["code"] == "rate_limited"
        await asyncio.sleep(1)
        answers = [await alice.request(message) for _ in range(11)]
        assert [answer.get("code") == "rate_limited" for answer in answers] == [False] * 10 + [True]


async def test_the_rate_is_the_users_on_all_connections_and_over_reconnects() -> None:
    app = create()
    async with person(app, "alice", "/ws/general") as one, person(app, "alice", "/ws/general") as two:
        for _ in range(20):
            await one.request(say("general", "hi"))
            await two.request(say("general", "hi"))
        assert (await one.request(say("general", "hi")))["code"] == "rate_limited"
        assert (await two.request(say("general", "hi")))["code"] == "rate_limited"
    async with person(app, "alice", "/ws/general") as again:
        assert (await again.request(say("general", "hi")))["code"] == "rate_limited"


async def test_a_repeat_with_a_key_costs_too() -> None:
    async with person(create(), "alice", "/ws/general") as alice:
        answers = [await alice.request(say("general", "hi"), key="0123456789abcdef") for _ in range(41)]
        assert {answer["offset"] for answer in answers[:-1]} == {1}
        assert answers[-1]["code"] == "rate_limited"


async def test_nothing_else_costs() -> None:
    app = create()
    async with person(app, "alice") as alice:
        for _ in range(100):
            assert (await alice.request({"type": "ping"}))["type"] == "pong"
            await alice.request({"type": "cancel", "ref": 1})
        for _ in range(49):
            await alice.send({"type": "message", "room": "general"})
        for _ in range(70):
            async with person(app, "alice", "/ws/general"):
                pass
        for _ in range(40):
            assert (await alice.request(say("general", "hi")))["code"] == "not_a_member"
        for _ in range(64):
            assert (await alice.request(join("general")))["type"] == "joined"


async def test_one_connection_can_be_in_32_rooms() -> None:
    app = create()
    async with person(app, "alice") as alice, person(app, "alice") as tab:
        for number in range(32):
            await alice.request(join(f"room-{number}"))
        assert await alice.request(join("one-more")) == {
            "type": "error",
            "code": "too_many_rooms",
            "detail": "A connection can be in 32 rooms: leave one first.",
            "retryable": False,
            "ref": 33,
        }
        assert (await alice.request(join("room-0")))["type"] == "joined"
        assert (await tab.request(join("one-more")))["type"] == "joined"
        await alice.request({"type": "leave", "room": "room-0"})
        assert (await alice.request(join("one-more")))["type"] == "joined"


# Broken frames.


async def test_50_broken_frames_in_a_row_close_the_connection() -> None:
    async with person(create(), "alice") as alice:
        for _ in range(49):
            await alice.send("{")
        assert (await alice.request({"type": "ping"}))["type"] == "pong"
        assert len(alice.frames) == 49
        for _ in range(51):
            await alice.send("{")
        assert await alice.expect_close() == (3509, "too many errors")
        assert Counter(frame["code"] for frame in alice.frames) == {"malformed_frame": 49 + 50}


async def test_200_broken_frames_in_a_minute_close_the_connection() -> None:
    async with person(create(), "alice") as alice:
        for number in range(199):
            await alice.send({"type": "none"})
            assert (await alice.request({"type": "ping"}))["type"] == "pong", number
        await asyncio.sleep(60)
        for number in range(199):
            await alice.send({"type": "none"})
            assert (await alice.request({"type": "ping"}))["type"] == "pong", number
        await alice.send({"type": "none"})
        await alice.expect_close(3509)


async def test_other_errors_neither_count_nor_end_a_row() -> None:
    async with person(create(rate=1000, burst=1000), "alice") as alice:
        for _ in range(100):
            assert (await alice.request(say("general", "hi")))["code"] == "not_a_member"
        for _ in range(49):
            await alice.send("{")
        await alice.send({"type": "private", "to": "nobody", "text": "hi"})
        await alice.send("{")
        await alice.request({"type": "ping"})


BROKEN: list[Callable[[random.Random], str | bytes]] = [
    lambda rng: rng.randbytes(rng.randrange(40)),
    lambda rng: orjson.dumps(say("general", "hi")).decode()[: rng.randrange(1, 20)],
    lambda rng: rng.choice(["", "[]", "1", "null", '"text"', "[{}]", "NaN", "\x00", "\u2028", "{}{}"]),
    lambda rng: "[" * rng.randrange(1, 60_000),
    lambda rng: '{"a":' * rng.randrange(1, 10_000),
    lambda rng: orjson.dumps({"type": rng.choice(["none", "", 1, None, [], {"a": 1}, "Message"])}).decode(),
    lambda rng: orjson.dumps({"room": "general", "text": "no type"}).decode(),
    lambda rng: orjson.dumps(say("general", "x" * rng.randrange(4097, 60_000))).decode(),
    lambda rng: orjson.dumps(say("general", "hi") | {f"extra-{rng.random()}": 1}).decode(),
    lambda rng: orjson.dumps({"type": "join", "room": rng.choice([1, None, [], "A", "__proto__"])}).decode(),
    lambda rng: orjson.dumps({"type": "join", "room": ["x"] * 5000, "since": [1] * 5000}).decode(),
    lambda rng: '{"type":"status","status":NaN}',
    lambda rng: '{"type":"message","room":"general","text":"\\ud800"}',
    lambda rng: f'{{"type":"ping","id":{rng.choice([2**53 + 1, -(2**70), 10**400])}}}',
    lambda rng: orjson.dumps(say("general", "hi") | {"key": "x" * rng.randrange(16)}).decode(),
]  # fmt: skip


def broken_frames(count: int, seed: int) -> Iterator[str | bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choice(BROKEN)(rng)


async def test_10_000_broken_frames_get_an_error_each_and_cost_no_memory() -> None:
    app = create()
    async with person(app, "bob") as bob:
        await bob.request(join("general"))
        async with person(app, "alice") as alice:
            frames = broken_frames(10_000, seed=1)
            await _send_broken(alice, itertools.islice(frames, 8000))
            tracemalloc.start()
            try:
                await _send_broken(alice, frames)
                grown, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert grown < 50_000
        await bob.expect_nothing()


async def _send_broken(client: Client, frames: Iterator[str | bytes]) -> None:
    """Send broken frames, no more than 200 in a minute; each gets an error of at most 1 KiB."""
    while batch := list(itertools.islice(frames, 40)):
        for frame in batch:
            await client.send(frame)
        await client.request({"type": "ping"})
        assert len(client.frames) == len(batch)
        for error in client.frames:
            assert error["code"] in {"malformed_frame", "unknown_type", "invalid_message"}
            assert len(orjson.dumps(error)) <= 1024
            assert "ref" not in error
        client.frames.clear()
        await asyncio.sleep(15)


# Connections.


async def test_2_000_connections_whatever_address_they_claim_are_held_to_the_limit() -> None:
    app = create()
    clients = [_claiming(app, f"user-{number}", f"198.51.100.{number % 256}") for number in range(2000)]
    outcomes = Counter([await _status(client) for client in clients])
    assert outcomes == {101: 100, 429: 1900}
    for client in clients[:100]:
        await client.close()
    async with person(app, "alice") as alice:
        await alice.request(join("general"))


async def test_a_user_has_20_connections_whatever_the_address() -> None:
    app = create()
    clients = [person(app, "alice", client=(f"192.0.2.{number}", 1)) for number in range(30)]
    assert Counter([await _status(client) for client in clients]) == {101: 20, 429: 10}
    async with person(app, "bob"):
        pass
    await clients[0].close()
    async with person(app, "alice"):
        assert await _status(person(app, "alice")) == 429
    for client in clients[1:20]:
        await client.close()


async def test_a_refused_handshake_does_not_count() -> None:
    app = create()
    for _ in range(200):
        assert await _status(Client(app, "/ws")) == 401
        assert await _status(person(app, "alice", "/ws/NONE")) == 404
    async with person(app, "alice"):
        pass


async def test_a_refusal_says_when_to_come_back_and_a_page_is_told_by_a_close() -> None:
    app = create(connections_per_user=1)
    async with person(app, "alice"):
        with pytest.raises(Refused) as caught:
            await person(app, "alice").connect()
        assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "10")
        page = person(app, "alice")
        page.scope["headers"].append((b"origin", b"http://localhost:8000"))
        async with page:
            assert await page.expect_close() == (3504, "connection limit")


async def test_the_socket_without_a_protocol_is_limited_too() -> None:
    app = create()
    async with person(app, "alice", "/echo") as alice:
        for _ in range(11):
            await alice.send({"echo": 1})
        error = await alice.expect("error")
        assert (error["code"], error["retryable"]) == ("rate_limited", True)
        assert alice.frames == [{"echo": 1}] * 10


def _claiming(app: Any, user: str, address: str) -> Client:
    client = person(app, user)
    client.scope["headers"] += [
        (b"x-forwarded-for", address.encode()),
        (b"forwarded", f"for={address}".encode()),
        (b"x-real-ip", address.encode()),
    ]
    return client


async def _status(client: Client) -> int:
    """101 where the handshake succeeds; the connection stays open then."""
    try:
        await client.connect()
    except Refused as refused:
        return refused.status
    return 101
