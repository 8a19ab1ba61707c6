"""One suite over every ASGI server: what each can do, and what it cannot, which ``docs/serving.md`` says too."""

import importlib.util
import json
import select
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.clients import Client, refusal
from tests.process import PATIENCE, Process, free_port, serving
from tests.servers.harness import handshake, text

TARGET = "tests.faults.application:hasty"
SERVERS = {
    "protocol": ["-m", "protocol", "run", TARGET, "--grace", "2", "--port"],
    "uvicorn": ["-m", "uvicorn", TARGET, "--timeout-graceful-shutdown", "2", "--port"],
    "hypercorn": ["-m", "hypercorn", TARGET, "--graceful-timeout", "2", "--bind"],
    "granian": ["-m", "granian", TARGET, "--interface", "asgi", "--workers-kill-timeout", "2", "--port"],
    "daphne": ["-m", "daphne", TARGET, "--port"],
}
"""How to run each; the port, or the address, comes last."""


CANNOT: dict[str, dict[str, str]] = {
    "uvicorn": {
        "test_a_peer_that_does_not_read_is_reset": "keeps the socket for ever",
        "test_a_shutdown_tells_when_to_come_back": "closes with 1012",
        "test_nothing_that_a_peer_does_is_logged_as_a_failure": "logs a traceback for invalid UTF-8",
    },
    "hypercorn": {
        "test_invalid_utf_8_is_closed_with_1007": "drops the connection",
        "test_a_peer_that_does_not_read_is_reset": "keeps the socket for ever",
        "test_a_shutdown_tells_when_to_come_back": "closes with 1011",
        "test_a_shutdown_ends_although_a_peer_does_not_read": "sometimes waits for the peer for ever",
    },
    "granian": {
        "test_invalid_utf_8_is_closed_with_1007": "closes without a code",
        "test_a_peer_that_does_not_read_is_reset": "keeps the socket for ever",
        "test_a_shutdown_tells_when_to_come_back": "drops the connection",
    },
    "daphne": {
        "test_a_refusal_before_accept_reaches_no_handler": "never answers what Starlette refuses by a response",
        "test_a_refusal_says_why_by_its_status": "has no responses but 403",
        "test_an_application_closes_with_its_code_and_reason_behind_what_was_sent": "sends no reasons",
        "test_a_frame_over_the_limit_is_closed_with_1009": "sends only 1000 and codes from 3000 on",
        "test_invalid_utf_8_is_closed_with_1007": "drops the connection",
        "test_a_peer_that_does_not_read_slows_nobody_and_leaves_its_rooms": "sends without waiting for it",
        "test_a_peer_that_does_not_read_is_reset": "sends without waiting for it",
        "test_a_shutdown_tells_when_to_come_back": "drops the connection",
    },
}
"""What the servers fail at, and what they do instead; what they do only sometimes is not tried."""

pytestmark = pytest.mark.conformance


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.long if name == "daphne" else ()) for name in SERVERS],
)
def name(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(autouse=True)
def expected(request: pytest.FixtureRequest, name: str) -> None:
    reason = CANNOT.get(name, {}).get(request.function.__name__)
    if reason is not None:
        sure = not reason.startswith("sometimes")
        request.applymarker(pytest.mark.xfail(reason=f"{name} {reason}", run=sure))


def started(name: str) -> AbstractContextManager[Process]:
    port = free_port()
    return serving([*SERVERS[name], f"127.0.0.1:{port}" if name == "hypercorn" else str(port)], port)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Process]:
    with started(name) as process:
        yield process


class Clients(ExitStack):
    """Who is connected to one server, until the end of the test."""

    def __init__(self, server: Process) -> None:
        super().__init__()
        self.port = server.port
        self.url = f"ws://127.0.0.1:{server.port}"

    def enter(self, name: str, path: str = "/ws", **options: Any) -> Client:
        options = {"compression": None, "ping_interval": None, "close_timeout": 1} | options
        return Client(self.enter_context(connect(f"{self.url}{path}?name={name}", **options)))

    def enter_deaf(self, name: str, **body: Any) -> socket.socket:
        """A client that sends one message, reads the first answer to it, and nothing ever again."""
        deaf = self.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(PATIENCE)
        deaf.connect(("127.0.0.1", self.port))
        deaf.sendall(handshake(path=f"/ws?name={name}"))
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += deaf.recv(100)
        deaf.sendall(text(json.dumps(body)))
        while b'{"type"' not in seen:
            seen += deaf.recv(100)
        return deaf


@pytest.fixture
def clients(server: Process) -> Iterator[Clients]:
    with Clients(server) as clients:
        yield clients


def stall(clients: Clients, room: str) -> socket.socket:
    """Talk in a room of two until the one that does not read has been taken out of it."""
    deaf = clients.enter_deaf("deaf", type="join", room=room)
    ann = clients.enter("ann")
    ann.request(type="join", room=room)
    count = 0
    while {"type": "left", "user": "deaf"} not in ann.seen:
        count += 1
        assert count < 500, "30 MB wait somewhere"
        ann.request(type="say", room=room, text=f"{count:60000}")
    assert [int(ann.expect(type="said")["text"]) for _ in range(count)] == list(range(1, count + 1))
    return deaf


def test_a_refusal_before_accept_reaches_no_handler(clients: Clients) -> None:
    for path in ("/ws", "/ws?name=mallory", "/ws/nowhere?name=ann", "/nothing?name=ann"):
        assert 400 <= refusal(f"{clients.url}{path}") < 500


def test_a_refusal_says_why_by_its_status(clients: Clients) -> None:
    assert refusal(f"{clients.url}/ws") == 401
    assert refusal(f"{clients.url}/ws/nowhere?name=ann") == 404


def test_the_server_chooses_the_subprotocol(clients: Clients) -> None:
    offered = [Subprotocol("other"), Subprotocol("rooms.v1"), Subprotocol("rooms.v2")]
    assert clients.enter("ann", subprotocols=offered).socket.subprotocol == "rooms.v2"
    assert clients.enter("ann").socket.subprotocol is None


def test_replies_acknowledgements_and_errors_have_the_ref_of_their_message(clients: Clients) -> None:
    ann = clients.enter("ann")
    assert ann.request(type="ping")["type"] == "pong"
    assert ann.request(type="join", room="live-refs")["type"] == "joined"
    assert ann.request(type="say", room="live-refs", text="hi")["type"] == "ack"
    assert ann.request(type="say", room="live-elsewhere", text="hi")["code"] == "not_a_member"
    assert ann.request(type="join", room="nowhere")["code"] == "not_found"


@pytest.mark.parametrize(
    "frame, code",
    [
        ("{", "malformed_frame"),
        ("[]", "malformed_frame"),
        (b"{}", "malformed_frame"),
        ("", "malformed_frame"),
        ('{"type":"other"}', "unknown_type"),
        ('{"type":"say","room":1,"text":"hi"}', "invalid_message"),
        ('{"type":"join","room":"\\ud800"}', "malformed_frame"),
    ],
)
def test_a_broken_frame_gets_an_error_and_the_connection_lives(
    clients: Clients, frame: str | bytes, code: str
) -> None:
    ann = clients.enter("ann")
    ann.socket.send(frame)
    assert ann.expect(type="error")["code"] == code
    assert ann.request(type="ping")["type"] == "pong"


def test_a_message_may_come_in_fragments(clients: Clients) -> None:
    ann = clients.enter("ann")
    ann.socket.send(iter(['{"type":', '"ping",', '"id":"whole"}']))
    assert ann.expect(ref="whole")["type"] == "pong"


def test_everybody_in_a_room_gets_everything_in_one_order(clients: Clients) -> None:
    people = [clients.enter(name) for name in ("ann", "bob", "carl")]
    for person in people:
        person.request(type="join", room="kept-order")
    for number in range(100):
        for person in people:
            person.send(type="say", room="kept-order", text=str(number))
    heard = [[person.expect(type="said") for _ in range(300)] for person in people]
    assert heard[0] == heard[1] == heard[2]
    assert [said["offset"] for said in heard[0]] == list(range(1, 301))
    for name in ("ann", "bob", "carl"):
        assert [said["text"] for said in heard[0] if said["user"] == name] == [str(n) for n in range(100)]


def test_who_comes_back_gets_what_was_missed(clients: Clients) -> None:
    ann, bob = clients.enter("ann"), clients.enter("bob")
    position = ann.request(type="join", room="kept-back")
    bob.request(type="join", room="kept-back")
    ann.socket.close()
    bob.expect(type="left", user="ann")
    for number in range(50):
        bob.request(type="say", room="kept-back", text=str(number))
    again = clients.enter("ann")
    since = {"offset": position["offset"], "epoch": position["epoch"]}
    assert again.request(type="join", room="kept-back", since=since)["recovered"] is True
    assert [again.expect(type="said")["text"] for _ in range(50)] == [str(number) for number in range(50)]


def test_a_stream_comes_whole(clients: Clients) -> None:
    ann = clients.enter("ann")
    ann.send(type="count", to=2000, id="c")
    assert [ann.expect(type="number")["value"] for _ in range(2000)] == list(range(2000))
    assert ann.expect(ref="c")["type"] == "ack"


def test_a_stream_leaves_others_their_turn_and_hears_of_its_end(clients: Clients) -> None:
    ann = clients.enter("ann", max_queue=None)
    ann.send(type="count", to=1_000_000, id="c")
    ann.send(type="cancel", ref="c")
    assert ann.expect(ref="c", type="error")["code"] == "cancelled"


def test_a_departure_is_announced_whatever_ended_the_connection(clients: Clients) -> None:
    watch = clients.enter("watch")
    watch.request(type="join", room="live-departures")
    for end in ("close", "reset", "half-closed"):
        ann = clients.enter("ann")
        ann.request(type="join", room="live-departures")
        if end == "close":
            ann.socket.close()
        elif end == "reset":
            ann.reset()
        else:
            ann.socket.socket.shutdown(socket.SHUT_WR)
        watch.expect(type="left", user="ann")


def test_an_application_closes_with_its_code_and_reason_behind_what_was_sent(clients: Clients) -> None:
    ann = clients.enter("ann")
    ann.send(type="count", to=100, id="c")
    ann.expect(ref="c")
    ann.send(type="ping", id="p")
    ann.send(type="leave", code=4321, reason="enough")
    assert ann.closed() == (4321, "enough")
    assert ann.seen[-1] == {"type": "pong", "ref": "p"}


def test_a_suspended_handler_is_cancelled_by_its_client(clients: Clients) -> None:
    ann = clients.enter("ann")
    ann.send(type="wait", id="w")
    ann.send(type="cancel", ref="w")
    assert ann.expect(ref="w")["code"] == "cancelled"


def test_a_suspended_handler_is_cancelled_by_the_disconnect(clients: Clients) -> None:
    watch, carl = clients.enter("watch"), clients.enter("carl")
    for person in (watch, carl):
        person.request(type="join", room="live-suspended")
    carl.send(type="wait")
    carl.reset()
    watch.expect(type="left", user="carl")
    assert "carl" in watch.request(type="who_waited")["users"]


def test_too_many_broken_frames_are_closed_with_3509(clients: Clients) -> None:
    ann = clients.enter("ann")
    for _ in range(50):
        ann.socket.send("{")
    assert ann.closed()[0] == 3509


def test_a_frame_over_the_limit_is_closed_with_1009(clients: Clients) -> None:
    ann = clients.enter("ann")
    ann.socket.send("x" * 70_000)
    assert ann.closed()[0] == 1009


def test_invalid_utf_8_is_closed_with_1007(clients: Clients) -> None:
    ann = clients.enter("ann")
    ann.socket.send(b"\xff", text=True)
    assert ann.closed()[0] == 1007


def test_a_peer_that_does_not_read_slows_nobody_and_leaves_its_rooms(clients: Clients) -> None:
    stall(clients, "live-slow")


def test_a_peer_that_does_not_read_is_reset(clients: Clients) -> None:
    deaf = stall(clients, "live-reset")
    ended = select.poll()
    ended.register(deaf, 0)  # what is always reported: error and hang-up
    assert ended.poll(3000)


def test_nothing_that_a_peer_does_is_logged_as_a_failure(server: Process, clients: Clients) -> None:
    for frame in (b"\xff", b"x" * 70_000, b"{"):
        ann = clients.enter("ann")
        ann.socket.send(frame, text=True)
        ann.reset()
    # Whatever those had to say has been logged when a connection after them is served.
    clients.enter("ann").request(type="ping")
    assert "Traceback" not in server.log


def test_a_shutdown_tells_when_to_come_back(name: str) -> None:
    with started(name) as process, Clients(process) as clients:
        ann = clients.enter("ann")
        assert ann.request(type="ping")["type"] == "pong"
        process.ask_to_stop()
        code, reason = ann.closed()
        assert code == 3001
        assert 0 <= json.loads(reason)["reconnect_after"] <= 2


def test_a_shutdown_ends_although_a_peer_does_not_read(name: str) -> None:
    with started(name) as process, Clients(process) as clients:
        clients.enter_deaf("stuck", type="count", to=1_000_000)
        assert clients.enter("ann").request(type="ping")["type"] == "pong"
        process.ask_to_stop()
        assert process.ended_within(PATIENCE)
