"""Every example does what it says."""

import io
import json
import re
from pathlib import Path

import httpx
import jwt
import pytest
from fastapi import FastAPI

from examples import (
    access_log,
    connection_limits,
    custom_protocol,
    direct_messages,
    first_message_auth,
    http_publish,
    jwt_auth,
    monitoring,
    rate_limit,
    rooms,
    stack,
    streaming,
    transforms,
)
from protocol.testing import Client, Refused

FOLDER = Path(access_log.__file__).parent
README = (FOLDER / "README.md").read_text()
FILES = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "__init__.py")


def http(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_short_says_how_to_run_it_and_is_found_by_a_question(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert text.count("\n") <= 80
    assert f"protocol run examples.{name.removesuffix('.py')}:app" in text
    assert len(re.findall(rf"^\|.*\? \|.*\]\({name}\)", README, re.MULTILINE)) == 1


def test_the_readme_names_no_file_that_is_not_there() -> None:
    names = re.findall(r"\]\(([^)#:]+)\)", README)
    assert names
    assert [name for name in names if not (FOLDER / name).exists()] == []


async def test_access_log(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(access_log.handler, "stream", written)
    app = access_log.app
    async with app.router.lifespan_context(app), Client(app) as client:
        answer = await client.request(access_log.Greet(name="Ada"), access_log.Greeting)
        assert answer.text == "Hello, Ada!"
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["attempt", "accepted", "closed"]
    assert {"path": "/ws", "code": 1000, "received": {"greet": 1}}.items() <= lines[2].items()
    assert "Ada" not in written.getvalue()


async def test_jwt_auth() -> None:
    with pytest.raises(Refused) as caught:
        await Client(jwt_auth.app).connect()
    assert caught.value.status == 401
    async with http(jwt_auth.app) as plain:
        token = (await plain.post("/token", params={"name": "ada"})).json()
    async with Client(jwt_auth.app, query=f"token={token}") as client:
        answer = await client.request(jwt_auth.WhoAmI(), jwt_auth.YouAre)
        assert answer.user == "ada"


async def test_rate_limit() -> None:
    async with Client(rate_limit.app, "/poll") as client:
        answers = [await client.request(rate_limit.Vote(option="tea")) for _ in range(4)]
        assert [answer["type"] for answer in answers] == ["ack", "ack", "ack", "error"]
        assert (answers[3]["code"], answers[3]["retry_after"]) == ("rate_limited", pytest.approx(10))
        assert await client.request(rate_limit.Count(), rate_limit.Votes) == rate_limit.Votes(
            options={"tea": 3}
        )
    async with Client(rate_limit.app, "/echo") as client:
        for _ in range(3):
            await client.send({"n": 1})
        assert (await client.expect("error"))["code"] == "rate_limited"
        assert client.frames == [{"n": 1}, {"n": 1}]


async def test_stack() -> None:
    token = jwt.encode({"sub": "ada", "exp": 2**31}, stack.KEY, "HS256")
    headers = {"Authorization": f"Bearer {token}"}
    clients = [Client(stack.app, "/echo", headers=headers) for _ in range(6)]
    for client in clients[:5]:
        await client.connect()
    for client, status in (
        (Client(stack.app, "/echo"), 401),
        (Client(stack.app, "/echo", headers={"Origin": "https://evil.example", **headers}), 403),
        (clients[5], 429),
    ):
        with pytest.raises(Refused) as caught:
            await client.connect()
        assert caught.value.status == status
    assert stack.metrics.snapshot()["handshakes"] == {"accepted": 5, "401": 1, "403": 1, "429": 1}
    for client in clients[:5]:
        await client.close()


async def test_transforms() -> None:
    async with Client(transforms.app) as ada, Client(transforms.app) as uli:
        await ada.request(transforms.Enter(room="hall"))
        await uli.request(transforms.Enter(room="hall", language="de"))
        await ada.request(transforms.Say(room="hall", text="  verdammt good  "))
        assert await ada.expect(transforms.Said) == transforms.Said(text="******** good", note="Be kind.")
        assert (await uli.expect(transforms.Said)).note == "Sei freundlich."
        assert (await ada.request(transforms.Say(room="hall", text="LOUD")))["code"] == "shouting"
        assert (await ada.request(transforms.Say(room="hall", text="   ")))["type"] == "ack"
        await uli.expect_nothing()


async def test_connection_limits() -> None:
    app = connection_limits.app
    async with Client(app) as one, Client(app):
        assert (await one.request(connection_limits.Tick(), connection_limits.Tock)).number == 1
        with pytest.raises(Refused) as caught:
            await Client(app, headers={"X-Forwarded-For": "192.0.2.1"}).connect()
        assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "5")
        async with Client(app, client=("10.0.0.1", 1), headers={"X-Forwarded-For": "192.0.2.1"}):
            pass


async def test_monitoring() -> None:
    async with Client(monitoring.app) as client, http(monitoring.app) as plain:
        answer = await client.request(monitoring.Divide(dividend=1, divisor=2), monitoring.Quotient)
        assert answer.value == 0.5
        assert (await client.request(monitoring.Divide(dividend=1, divisor=0)))["code"] == "division_by_zero"
        handled = {"divide": {"ok": 1, "division_by_zero": 1}}
        assert (await plain.get("/health")).json()["messages_handled"] == handled
        assert "websocket_handler_seconds_bucket" in (await plain.get("/metrics")).text


async def test_custom_protocol() -> None:
    async with Client(custom_protocol.app, "/game/chess") as client:
        await client.send(custom_protocol.Move(x=1, y=7))
        assert (await client.expect(custom_protocol.Moved)).moves == 1
        assert (await client.request({"type": "move", "x": 8, "y": 0}))["code"] == "invalid_message"
        assert (await client.request(custom_protocol.Rules()))["type"] == "rule_book"
        await client.send(custom_protocol.Move(x=0, y=0))
        assert (await client.expect(custom_protocol.Moved)).moves == 2


async def test_rooms() -> None:
    def person(name: str) -> Client:
        return Client(rooms.app, headers={"X-User": name})

    async with person("ada") as ada, person("boss") as boss:
        entered = await ada.request(rooms.Enter(room="floor-3"), rooms.Entered)
        assert entered.members == ["ada"]
        assert (await ada.request(rooms.Enter(room="floor-4")))["code"] == "forbidden"
        assert (await ada.request(rooms.Enter(room="floor-x")))["code"] == "not_found"
        assert (await boss.request(rooms.Enter(room="floor-4")))["type"] == "entered"
        await boss.request(rooms.Enter(room="floor-3"))
        assert (await ada.expect(rooms.Came)).user == "boss"
        await ada.close()
        await boss.request(rooms.Say(room="floor-3", text="Where is Ada?"))
        async with person("ada") as ada_again:
            back = rooms.Enter(room="floor-3", offset=entered.offset, epoch=entered.epoch)
            assert (await ada_again.request(back, rooms.Entered)).recovered
            assert (await ada_again.expect(rooms.Said)).text == "Where is Ada?"


async def test_direct_messages() -> None:
    def person(name: str) -> Client:
        return Client(direct_messages.app, headers={"X-User": name})

    async with person("ada") as ada, person("bob") as phone, person("bob") as desk:
        await ada.request(direct_messages.Write(to="bob", text="hi"))
        for device in (phone, desk):
            letter = await device.expect(direct_messages.Letter)
            assert letter == direct_messages.Letter(sender="ada", text="hi")
        refused = await ada.request(direct_messages.Write(to="eve", text="hi"))
        assert (refused["code"], refused["retryable"]) == ("not_there", True)
        await phone.request(direct_messages.SetMood(mood="cheerful"))
        for client in (ada, desk):
            assert await client.expect(direct_messages.Mood) == direct_messages.Mood(
                user="bob", mood="cheerful"
            )


async def test_streaming() -> None:
    streaming.usage.clear()
    async with Client(streaming.app) as client:
        await client.send(streaming.Ask(prompt="why?"), id="a")
        text = [(await client.expect(streaming.Token, within=1)).text for _ in range(8)]
        assert " ".join(text) == "You asked: why? That is a good question."
        assert (await client.expect(streaming.Finished)).tokens == 8
        await client.expect("ack", ref="a")
        await client.send(streaming.Ask(prompt="and how?"), id="b")
        await client.expect(streaming.Token, within=1)
        await client.request({"type": "cancel", "ref": "b"})
        assert (await client.expect("error", ref="b"))["code"] == "cancelled"
        await client.expect_nothing()
        assert streaming.usage == {"words": 9}


async def test_first_message_auth() -> None:
    app, greet = first_message_auth.app, first_message_auth.Greet()
    async with Client(app) as client:
        await client.send(greet, id="early")
        assert (await client.request(first_message_auth.LogIn(token="demo-token-of-ada")))["type"] == "ack"
        assert (await client.expect(first_message_auth.Welcome)).name == "ada"
        assert (await client.expect("greeting", ref="early"))["text"] == "Hello, ada!"
    async with Client(app) as client:
        await client.send(first_message_auth.LogIn(token="guess"))
        await client.expect_close(3500)
    async with Client(app) as client:
        await client.send(greet)
        assert await client.expect_close(within=6) == (3500, "log in first")


async def test_http_publish() -> None:
    app = http_publish.app
    async with Client(app, "/ws/berlin") as berlin, Client(app, "/ws/rome") as rome, http(app) as plain:
        response = await plain.post("/cities/berlin/weather", json={"celsius": 21.5})
        assert response.json() == {"receivers": 1}
        weather = await berlin.expect(http_publish.Weather)
        assert weather == http_publish.Weather(city="berlin", celsius=21.5)
        await rome.expect_nothing()
