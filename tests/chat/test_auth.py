"""Who may connect: passwords, tokens and origins."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from pwdlib import PasswordHash

from protocol.testing import Client, Refused
from tests.chat.people import SECRET, create, http, join, person, token
from tests.process import PATIENCE


async def test_a_password_gets_a_token_that_opens_the_socket() -> None:
    app = create(token_seconds=60)
    async with http(app) as client:
        for name, password in (("alice", "wonderland"), ("bob", "builder")):
            response = await client.post("/token", data={"username": name, "password": password})
            assert response.status_code == 200
            answer = response.json()
            assert (answer["token_type"], answer["expires_in"]) == ("bearer", 60)
            claims = jwt.decode(answer["access_token"], SECRET, ["HS256"])
            assert claims["sub"] == name
            assert time.time() + 60 - PATIENCE < claims["exp"] <= time.time() + 60
            headers = {"Authorization": f"Bearer {answer['access_token']}"}
            async with Client(app, "/ws", headers=headers) as socket:
                joined = await socket.request(join("general"))
                assert joined["members"] == [{"user": name, "status": "online"}]


@pytest.mark.parametrize(
    "name, password",
    [
        ("alice", "builder"),
        ("alice", ""),
        ("alice", "x" * 10_000),
        ("mallory", "wonderland"),
        ("", "wonderland"),
    ],
)
async def test_a_wrong_password_and_an_unknown_name_are_refused_alike(name: str, password: str) -> None:
    async with http(create()) as client:
        response = await client.post("/token", data={"username": name, "password": password})
        if name and password:
            assert response.json() == {"detail": "Wrong name or password"}
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert response.status_code in {401, 422}


async def test_an_unknown_name_takes_the_work_of_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[tuple[str, str]] = []

    def verify(self: PasswordHash, password: str | bytes, hash: str | bytes) -> bool:
        checked.append((str(password), str(hash)))
        return True

    monkeypatch.setattr(PasswordHash, "verify", verify)
    async with http(create()) as client:
        response = await client.post("/token", data={"username": "mallory", "password": "guess"})
    assert response.status_code == 401
    [(password, hashed)] = checked
    assert password == "guess"
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


# Where a token may be.


async def test_a_token_may_be_in_the_header_the_query_a_cookie_and_the_subprotocol() -> None:
    app, alice = create(), token("alice")
    for options in (
        {"headers": {"Authorization": f"Bearer {alice}"}},
        {"query": f"token={alice}"},
        {"headers": {"Cookie": f"theme=dark; token={alice}"}},
        {"subprotocols": ["bearer", alice]},
    ):
        async with Client(app, "/ws", **options) as client:
            assert (await client.request(join("general")))["members"][0]["user"] == "alice"
            assert client.accepted is not None
            assert client.accepted.get("subprotocol") == ("bearer" if "subprotocols" in options else None)


@pytest.mark.parametrize("path", ["/ws", "/ws/general", "/ws/NONE", "/echo"])
async def test_without_a_token_nobody_connects(path: str) -> None:
    with pytest.raises(Refused) as caught:
        await Client(create(), path).connect()
    assert (caught.value.status, caught.value.headers["www-authenticate"]) == (401, "Bearer")


def _unsigned() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'sub': 'alice', 'exp': 2**31})}."


FORGED = {
    "expired": token("alice", exp=int(time.time()) - 1),
    "of another secret": jwt.encode({"sub": "alice", "exp": 2**31}, "x" * 32, "HS256"),
    "of another algorithm": jwt.encode({"sub": "alice", "exp": 2**31}, SECRET, "HS512"),
    "unsigned": _unsigned(),
    "without exp": jwt.encode({"sub": "alice"}, SECRET, "HS256"),
    "without sub": jwt.encode({"exp": 2**31}, SECRET, "HS256"),
    "with an empty sub": token(""),
    "with a sub of two lines": token("alice\nbob"),
    "with exp as text": token("alice", exp=str(2**31)),
    "with exp beyond all dates": token("alice", exp=10**18),
    "cut": token("alice")[:-2],
    "none": "x",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_a_token_that_is_not_valid_opens_neither_socket_nor_endpoint(forged: str) -> None:
    app = create()
    headers = {"Authorization": f"Bearer {forged}"}
    with pytest.raises(Refused) as caught:
        await Client(app, "/ws", headers=headers).connect()
    assert caught.value.status == 401
    async with http(app) as client:
        response = await client.post("/rooms/general/announce", json={"text": "hi"}, headers=headers)
        assert (response.status_code, response.json()) == (401, {"detail": "Invalid token"})


async def test_a_page_with_a_bad_token_is_told_by_a_close() -> None:
    page = Client(create(), "/ws", subprotocols=["bearer", "x"], headers={"Origin": "http://localhost:8000"})
    async with page:
        assert await page.expect_close() == (3500, "invalid token")
        assert page.accepted is not None
        assert page.accepted["subprotocol"] == "bearer"


# In band.


async def test_a_fresh_token_for_the_same_user_is_acknowledged() -> None:
    async with person(create(), "alice") as alice:
        answer = await alice.request({"type": "authenticate", "token": token("alice")})
        assert answer == {"type": "ack", "ref": 1}
        assert (await alice.request({"type": "ping"}))["type"] == "pong"


OTHERS = {"of somebody else": token("bob"), "expired": token("alice", exp=1), "no token": "x", **FORGED}


# The names and not the tokens make the test's id: tokens differ from one worker to the next.
@pytest.mark.parametrize("shown", OTHERS.values(), ids=OTHERS.keys())
async def test_any_other_token_closes_without_an_error_frame(shown: str) -> None:
    async with person(create(), "alice") as alice:
        await alice.send({"type": "authenticate", "token": shown}, id=1)
        assert await alice.expect_close() == (3500, "invalid token")
        assert alice.frames == []


# Origins.


@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
async def test_pages_of_this_machine_at_the_serving_port_may_connect(origin: str) -> None:
    async with Client(create(), "/ws", headers={"Origin": origin, "Cookie": f"token={token('alice')}"}):
        pass


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://localhost", "http://localhost:8001", "https://localhost:8000", "http://testserver",
     "http://evil.example", "http://localhost:8000.evil.example", "http://localhost:8000@evil.example",
     "http://127.0.0.1:8000/", "HTTP://LOCALHOST:8000"],
)  # fmt: skip
async def test_other_pages_may_not_even_with_a_cookie(origin: str) -> None:
    with pytest.raises(Refused) as caught:
        await Client(
            create(), "/ws", headers={"Origin": origin, "Cookie": f"token={token('alice')}"}
        ).connect()
    assert caught.value.status == 403


async def test_a_host_header_that_agrees_is_no_excuse() -> None:
    headers: Any = [
        ("Host", "evil.example"),
        ("Origin", "http://evil.example"),
        ("Cookie", f"token={token('alice')}"),
    ]
    with pytest.raises(Refused):
        await Client(create(), "/ws", headers=headers).connect()
