"""What is around the sockets: settings, the page, and what operators look at."""

import asyncio
import gc
import itertools
import logging
import re
import subprocess
import sys
import tomllib
import tracemalloc
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from examples.chat.settings import Settings
from protocol.testing import Client, Refused, settle
from tests.chat.people import create, http, join, person, say, token

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    monkeypatch.delenv("PORT", raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_without_an_environment_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = environment(monkeypatch), environment(monkeypatch)
    assert one.secret != two.secret
    assert len(one.secret) >= 32
    assert one.model_dump(exclude={"secret"}) == {
        "token_seconds": 3600,
        "origins": (),
        "rate": 10,
        "burst": 40,
        "connections_per_user": 20,
        "connections_per_address": 100,
        "rooms_per_connection": 32,
        "censored": ("damn", "crap", "bloody"),
        "broker": "memory://",
        "port": 8000,
    }


def test_each_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = environment(
        monkeypatch,
        CHAT_SECRET="s" * 32,
        CHAT_TOKEN_SECONDS="1.5",
        CHAT_ORIGINS="https://chat.example, https://other.example:444",
        CHAT_RATE="0.5",
        CHAT_BURST="3",
        CHAT_CONNECTIONS_PER_USER="1",
        CHAT_CONNECTIONS_PER_ADDRESS="2",
        CHAT_ROOMS_PER_CONNECTION="4",
        CHAT_CENSORED="darn,heck of a",
        CHAT_BROKER="redis://localhost",
        PORT="1234",
    )
    assert settings.model_dump() == {
        "secret": "s" * 32,
        "token_seconds": 1.5,
        "origins": ("https://chat.example", "https://other.example:444"),
        "rate": 0.5,
        "burst": 3,
        "connections_per_user": 1,
        "connections_per_address": 2,
        "rooms_per_connection": 4,
        "censored": ("darn", "heck of a"),
        "broker": "redis://localhost",
        "port": 1234,
    }
    assert settings.allowed_origins == ("https://chat.example", "https://other.example:444")


def test_the_default_origins_are_this_machines_at_the_serving_port(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment(monkeypatch, PORT="81").allowed_origins == (
        "http://localhost:81",
        "http://127.0.0.1:81",
        "http://[::1]:81",
    )


@pytest.mark.parametrize(
    "name, value",
    [("CHAT_SECRET", "short"), ("CHAT_RATE", "0"), ("CHAT_BURST", "0"), ("CHAT_CONNECTIONS_PER_USER", "0"),
     ("CHAT_TOKEN_SECONDS", "-1"), ("CHAT_ROOMS_PER_CONNECTION", "x")],
)  # fmt: skip
def test_a_setting_that_cannot_be_fails_at_start_up(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError, match=name.removeprefix("CHAT_").lower()):
        environment(monkeypatch, **{name: value})


def test_the_extra_chat_brings_all_that_the_application_imports() -> None:
    brought = _with_all_they_require(f"{PROJECT['name']}[chat]")
    owners = packages_distributions().items()
    others = [name for name, own in owners if brought.isdisjoint(map(canonicalize_name, own))]
    # As good as not installed; the project's own folders are there as they are in a clone.
    hidden = sorted(set(others) - {"examples", "handlers", "protocol", "schemas"})
    script = f"import sys; sys.modules.update(dict.fromkeys({hidden})); import examples.chat.app"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def _with_all_they_require(*lines: str) -> set[str]:
    """The names of the distributions that these requirements install."""
    found: set[tuple[str, str]] = set()
    todo = [Requirement(line) for line in lines]
    while todo:
        required = todo.pop()
        for extra in ("", *required.extras):
            if (required.name, extra) in found:
                continue
            found.add((required.name, extra))
            todo += [each for each in _required(required.name) if _applies(each, extra)]
    return {canonicalize_name(name) for name, _ in found}


def _required(name: str) -> list[Requirement]:
    if name != PROJECT["name"]:
        return [Requirement(line) for line in requires(name) or ()]
    extras = PROJECT["optional-dependencies"].items()
    optional = [f"{line}; extra == '{extra}'" for extra, lines in extras for line in lines]
    return [Requirement(line) for line in (*PROJECT["dependencies"], *optional)]


def _applies(required: Requirement, extra: str) -> bool:
    return required.marker is None or required.marker.evaluate({"extra": extra})


async def test_settings_are_kept_by_the_application() -> None:
    app = create(
        rate=1, burst=2, connections_per_user=2, connections_per_address=3, rooms_per_connection=1,
        censored="darn", origins="https://chat.example",
    )  # fmt: skip
    async with person(app, "alice", "/ws/general") as alice, person(app, "alice") as tab, person(app, "bob"):
        await alice.expect("joined")
        assert (await alice.request(join("one")))["code"] == "too_many_rooms"
        await alice.request(say("general", "darn, damn"))
        await alice.expect("message", text="****, damn")
        await alice.request(say("general", "two"))
        limited = await alice.request(say("general", "three"))
        assert (limited["code"], limited["retry_after"]) == ("rate_limited", pytest.approx(1.0))
        await _refused(person(app, "carol"), 429)
        await tab.close()
        async with person(app, "alice"):
            await _refused(person(app, "alice", client=("192.0.2.1", 1)), 429)
        await _refused(Client(app, "/ws", headers={"Origin": "http://localhost:8000"}), 403)
        headers = {"Origin": "https://chat.example", "Authorization": f"Bearer {token('carol')}"}
        async with Client(app, "/ws", headers=headers) as carol:
            await carol.request(join("one"))


async def _refused(client: Client, status: int) -> None:
    with pytest.raises(Refused) as caught:
        await client.connect()
    assert caught.value.status == status


async def test_two_applications_share_nothing() -> None:
    one, two = create(), create()
    async with person(one, "alice", "/ws/general"), person(two, "bob", "/ws/general") as bob:
        assert (await bob.expect("joined"))["count"] == 1


# Announcements.


async def test_an_announcement_over_http_reaches_the_room_and_its_history() -> None:
    app = create()
    async with person(app, "bob") as bob, http(app) as client:
        joined = await bob.request(join("general"))
        response = await client.post(
            "/rooms/general/announce",
            json={"text": "dinner is damn late"},
            headers={"Authorization": f"Bearer {token('alice')}"},
        )
        assert (response.status_code, response.json()) == (202, {"receivers": 1, "offset": 1})
        message = await bob.expect("message")
        message.pop("at")
        assert message == {
            "type": "message",
            "room": "general",
            "user": "alice",
            "text": "dinner is **** late",
            "offset": 1,
        }
        async with person(app, "carol") as carol:
            await carol.request(join("general", offset=0, epoch=joined["epoch"]))
            await carol.expect("message", offset=1)


@pytest.mark.parametrize(
    "room, body, status",
    [
        ("general", {"text": "hi"}, 202),
        ("NONE", {"text": "hi"}, 422),
        ("general", {}, 422),
        ("general", {"text": ""}, 422),
        ("general", {"text": "x" * 4097}, 422),
        ("general", {"text": 1}, 422),
        ("general", {"text": "hi", "user": "mallory"}, 422),
    ],
)
async def test_what_may_be_announced(room: str, body: dict[str, Any], status: int) -> None:
    app = create()
    headers = {"Authorization": f"Bearer {token('alice')}"}
    async with person(app, "bob"), http(app, headers=headers) as client:
        assert (await client.post(f"/rooms/{room}/announce", json=body)).status_code == status


async def test_nothing_is_announced_without_a_token() -> None:
    async with http(create()) as client:
        response = await client.post("/rooms/general/announce", json={"text": "hi"})
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


# What operators look at.


async def test_health_and_metrics_count_what_happens() -> None:
    app = create()
    async with http(app) as client, person(app, "alice", "/ws/general") as alice:
        await alice.request(say("general", "hi"))
        await alice.request({"type": "none"})
        await _refused(Client(app, "/ws"), 401)
        health = (await client.get("/health")).json()
        assert health["status"] == "ok"
        assert health["connections_active"] == 1
        assert health["handshakes"] == {"accepted": 1, "401": 1}
        assert health["messages_handled"] == {"message": {"ok": 1}}
        assert health["frames_refused"] == {"unknown_type": 1}
        text = (await client.get("/metrics")).text
        assert 'websocket_handshakes_total{outcome="accepted"} 1.0' in text
        assert 'websocket_messages_handled_total{outcome="ok",type="message"} 1.0' in text
        assert "websocket_connections_active 1.0" in text


async def test_the_log_tells_of_connections_and_of_nothing_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, secret = create(), token("alice", jti="a-token-to-be-kept")
    with caplog.at_level(logging.INFO):
        async with Client(app, "/ws/general", query=f"token={secret}") as alice:
            await alice.request(say("general", "confidential"))
    lines = [record.getMessage() for record in caplog.records if record.name == "protocol.access"]
    assert [line.split()[0] for line in lines] == ["attempt", "accepted", "closed"]
    assert 'user="alice"' in lines[2]
    assert "received=message:1" in lines[2]
    assert secret not in caplog.text
    assert "confidential" not in caplog.text


# The page.


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    async with http(create()) as client:
        response = await client.get("/")
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        linked = re.findall(r'(?:href|src)="(.+?)"', response.text)
        assert "static/main.js" in linked
        for path in [*linked, "static/views/log.js"]:
            assert (await client.get(f"/{path}")).status_code == 200, path


async def test_nothing_is_left_of_people_who_have_gone(caplog: pytest.LogCaptureFixture) -> None:
    # What is logged would be kept for the report of the test.
    caplog.set_level(logging.CRITICAL, logger="protocol")
    caplog.set_level(logging.CRITICAL, logger="protocol.access")
    app = create()
    visitors = itertools.count()

    async def visits(count: int) -> None:
        for number in itertools.islice(visitors, count):
            async with person(app, f"user-{number}", f"/ws/room-{number}") as somebody:
                await somebody.request({"type": "status", "status": "busy"})
                await somebody.request(say(f"room-{number}", "x" * 1000), key=f"a key, used once: {number}")
            await asyncio.sleep(60)

    # A history lasts for an hour: after two, as much is forgotten as comes.
    await visits(120)
    tracemalloc.start()
    try:
        kept = []
        for _ in range(2):
            await visits(60)
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert kept[1] - kept[0] < 50_000
    async with http(app) as client:
        assert (await client.get("/health")).json()["connections_active"] == 0
    await settle()
    assert len(asyncio.all_tasks()) == 1
