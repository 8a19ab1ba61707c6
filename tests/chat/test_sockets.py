"""The chat over real sockets: what a client library, a proxy or a browser meets."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from websockets.frames import CloseCode
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.chat.people import join, say, token
from tests.chat.server import Server, serving
from tests.clients import Client, refusal


@contextmanager
def person(server: Server, name: str, path: str = "", **options: Any) -> Iterator[Client]:
    """A client with a token for ``name``."""
    headers = {"Authorization": f"Bearer {token(name)}"}
    options = {"additional_headers": headers, "compression": None} | options
    with connect(server.ws + path, **options) as socket:
        yield Client(socket)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(connections_per_user=5) as server:
        yield server
        server.stop()
        assert "Finished server process" in server.log
        assert 'accepted connection=1 client="127.0.0.1"' in server.log
        assert "Traceback" not in server.log
        assert "ASGI callable" not in server.log
        assert "eyJ" not in server.log, "a token"


def test_three_users_two_rooms_and_two_tabs(server: Server) -> None:
    with (
        person(server, "alice") as alice,
        person(server, "alice", "/general") as tab,
        person(server, "bob") as bob,
        person(server, "carol", "/garden") as carol,
    ):
        assert tab.expect(type="joined")["count"] == 1
        assert carol.expect(type="joined")["members"] == [{"user": "carol", "status": "online"}]
        assert alice.request(**join("general"))["count"] == 1
        assert bob.request(**join("general"))["count"] == 2
        assert bob.request(**join("garden"))["count"] == 2
        for client in (alice, tab):
            client.expect(type="member_joined", user="bob", room="general")
        carol.expect(type="member_joined", user="bob", room="garden")
        offsets = [alice.request(**say("general", f"damn {number}"))["offset"] for number in range(10)]
        assert offsets == list(range(1, 11))
        for client in (alice, tab, bob):
            for number, offset in enumerate(offsets):
                assert client.expect(type="message", offset=offset)["text"] == f"**** {number}"
        assert carol.request(type="private", to="alice", text="psst")["type"] == "ack"
        for client in (alice, tab):
            assert client.expect(type="private")["user"] == "carol"
        alice.request(type="status", status="busy")
        for client in (tab, bob):
            client.expect(type="status", user="alice", status="busy")
        tab.reset()
        assert alice.request(**say("general", "still here"))["type"] == "ack"
        assert bob.request(type="leave", room="garden")["type"] == "ack"
        carol.expect(type="member_left", user="bob")
        assert carol.request(type="ping")["type"] == "pong"
        for client in (alice, bob, carol):
            assert [frame for frame in client.seen if frame["type"] != "message"] == []


def test_an_abrupt_end_after_any_frame_leaves_the_rooms_in_order(server: Server) -> None:
    frames = [join("rough"), say("rough", "hi"), {"type": "status", "status": "away"}, {"type": "ping"}]
    with person(server, "alice", "/rough") as alice:
        for count in range(len(frames) + 1):
            with person(server, "bob") as bob:
                for frame in frames[:count]:
                    bob.send(**frame, id="x")
                if count == len(frames):
                    bob.expect(type="pong")
                bob.reset()
            if count:
                alice.expect(type="member_joined")
                alice.expect(type="member_left")
        assert alice.request(**join("rough"))["count"] == 1


def test_a_password_and_each_form_of_its_token(server: Server) -> None:
    form = {"username": "bob", "password": "builder"}
    answer = httpx.post(f"{server.http}/token", data=form)
    assert answer.status_code == 200
    assert httpx.post(f"{server.http}/token", data=form | {"password": "x"}).status_code == 401
    bearer = answer.json()["access_token"]
    for options in (
        {"additional_headers": {"Authorization": f"Bearer {bearer}"}},
        {"additional_headers": {"Cookie": f"token={bearer}"}},
        {"subprotocols": [Subprotocol("bearer"), Subprotocol(bearer)]},
    ):
        with person(server, "bob", "/forms", **options) as bob:
            assert bob.expect(type="joined")["members"][0]["user"] == "bob"
            assert bob.socket.subprotocol == ("bearer" if "subprotocols" in options else None)
    with person(server, "bob", f"/forms?token={bearer}", additional_headers={}) as bob:
        assert bob.expect(type="joined")["members"][0]["user"] == "bob"


def test_refusals_are_http_for_programs_and_closes_for_pages(server: Server) -> None:
    headers = {"Authorization": f"Bearer {token('dora')}"}
    here = f"http://127.0.0.1:{server.port}"
    assert refusal(server.ws) == 401
    assert refusal(server.ws, additional_headers={"Authorization": "Bearer x"}) == 401
    assert refusal(f"{server.ws}?tok%65n={token('dora')}") == 401
    assert refusal(f"{server.ws}/NONE", additional_headers=headers) == 404
    assert refusal(server.ws, additional_headers=headers, origin="http://evil.example") == 403
    assert refusal(server.ws, additional_headers=headers, origin=f"http://127.0.0.1:{server.port + 1}") == 403
    with ExitStack() as people:
        for _ in range(5):
            people.enter_context(person(server, "dora", origin=here))
        assert refusal(server.ws, additional_headers=headers) == 429
        with person(server, "dora", origin=here) as one_more:
            assert one_more.closed() == (3504, "connection limit")
    with person(server, "nobody", origin=here, additional_headers={}) as nobody:
        assert nobody.closed() == (3500, "invalid token")


@pytest.mark.parametrize("frame", [b"\x00\x01", "{", "[]", '{"type":"ping","id":NaN}', "[" * 60_000])
def test_a_broken_frame_gets_an_error_and_the_connection_lives(server: Server, frame: str | bytes) -> None:
    with person(server, "erin") as erin:
        erin.socket.send(frame)
        assert erin.expect(type="error")["code"] in {"malformed_frame", "unknown_type", "invalid_message"}
        assert erin.request(type="ping")["type"] == "pong"


def test_what_rfc_6455_forbids_is_closed_with_its_code(server: Server) -> None:
    with person(server, "erin") as erin:
        erin.socket.send("x" * 65_537)
        assert erin.closed()[0] == CloseCode.MESSAGE_TOO_BIG
    with person(server, "erin") as erin:
        erin.socket.send(b"\xff", text=True)
        assert erin.closed()[0] == CloseCode.INVALID_DATA
    with person(server, "erin") as erin:
        for _ in range(50):
            erin.socket.send("{")
        assert erin.closed() == (3509, "too many errors")
        assert len(erin.seen) == 50


def test_an_announcement_reaches_the_room(server: Server) -> None:
    with person(server, "alice", "/news") as alice:
        alice.expect(type="joined")
        answer = httpx.post(
            f"{server.http}/rooms/news/announce",
            json={"text": "hear, hear"},
            headers={"Authorization": f"Bearer {token('bob')}"},
        )
        assert (answer.status_code, answer.json()) == (202, {"receivers": 1, "offset": 1})
        assert alice.expect(type="message")["user"] == "bob"
        assert httpx.get(f"{server.http}/health").json()["status"] == "ok"
        assert "websocket_frames_sent_total" in httpx.get(f"{server.http}/metrics").text


def test_a_token_that_runs_out_closes_unless_it_is_refreshed(server: Server) -> None:
    expires = int(time.time()) + 3

    def brief(name: str) -> Any:
        return {"additional_headers": {"Authorization": f"Bearer {token(name, exp=expires)}"}}

    with person(server, "alice", **brief("alice")) as alice, person(server, "bob", **brief("bob")) as bob:
        answer = bob.request(type="authenticate", token=token("bob"))
        assert answer["type"] == "ack"
        assert alice.closed() == (3005, "token expired")
        assert time.time() >= expires
        assert bob.request(type="ping")["type"] == "pong"
        assert refusal(server.ws, **brief("alice")) == 401


def test_a_restart_tells_when_to_come_back_and_never_hides_a_loss() -> None:
    with serving() as server:
        with person(server, "alice") as alice, person(server, "bob") as bob:
            before = alice.request(**join("general"))
            bob.request(**join("general"))
            assert alice.request(**say("general", "one"))["offset"] == 1
            bob.expect(type="message", offset=1)
            server.stop()
            for client in (alice, bob):
                code, reason = client.closed()
                assert code == 3001
                assert 0 <= json.loads(reason)["reconnect_after"] <= 2
        assert "Traceback" not in server.log
        server.start()
        with person(server, "alice") as alice:
            after = alice.request(**join("general", offset=1, epoch=before["epoch"]))
            assert (after["offset"], after["recovered"]) == (0, False)
            assert after["epoch"] != before["epoch"]
