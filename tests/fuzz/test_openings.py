"""Servers that wait for a first message before they serve: how the fuzzer gets in, and what it says where it does not."""

import json
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol
from protocol.cli.main import main
from protocol.exceptions import ConfigurationError
from protocol.fuzzing import CheckFailed, Contract, fuzz_test, verify
from protocol.fuzzing.arena import LocalArena, RemoteArena
from protocol.fuzzing.campaign import Campaign, Report
from protocol.fuzzing.checks import selected
from protocol.fuzzing.fuzzer import Failure, Fuzzer
from protocol.fuzzing.program import programs
from protocol.testing.comparison import first_difference
from protocol.testing.remote import Remote
from protocol.testing.replay import replay
from protocol.testing.steps import Body, Connect, Opening, Send, parsed
from protocol.testing.transcript import Exchange, Transcript
from tests.fuzz.doors import (
    AUTH,
    DOCUMENT,
    TOKEN,
    create_adder,
    create_greeter,
    create_wrong_adder,
    create_wrong_greeter,
    hello,
)
from tests.fuzz.serving import serving

test_a_protocol_that_waits_for_a_hello_keeps_its_promises = fuzz_test(
    create_greeter, opening=hello, max_examples=200
)
test_a_protocol_that_waits_for_a_hello_keeps_its_promises_on_two_nodes = fuzz_test(
    create_greeter, opening=hello, nodes=2, max_examples=50
)
test_a_plain_server_that_waits_for_a_token_keeps_its_promises = fuzz_test(
    create_adder, document=DOCUMENT, opening=AUTH, max_examples=200
)

GREETER, ADDER = Contract.of(create_greeter()), Contract.of_document(DOCUMENT)
WRONG = [
    pytest.param(create_wrong_greeter, create_greeter, GREETER, hello, "server_error", id="hello"),
    pytest.param(create_wrong_adder, create_adder, ADDER, AUTH, "request_reply", id="token"),
]


def found(create_app: Callable[[], FastAPI], contract: Contract, opening: Opening, check: str) -> Failure:
    """What a check finds in this process."""
    fuzzer = Fuzzer(LocalArena(create_app, contract, opening=opening, measured=False), selected(only=[check]))
    failure = fuzzer.explore(programs(contract), seed=1, database=None, max_examples=200)
    assert failure is not None
    return failure


def over_a_socket(
    create_app: Callable[[], FastAPI],
    contract: Contract,
    opening: Opening | None,
    max_examples: int,
    only: str | None = None,
) -> Report:
    with serving(create_app()) as address:
        return Campaign(
            arena=RemoteArena(f"ws://{address}/ws", contract, opening=opening),
            checks=selected(only=only and [only]),
            target=address,
            seed=1,
            max_examples=max_examples,
            phases=["stateful"],
        ).run()


@pytest.mark.parametrize("wrong, right, contract, opening, check", WRONG)
def test_a_bug_behind_the_opening_is_found_and_plays_again_by_itself(
    wrong: Callable[[], FastAPI],
    right: Callable[[], FastAPI],
    contract: Contract,
    opening: Opening,
    check: str,
) -> None:
    document = None if contract is GREETER else DOCUMENT
    failure = found(wrong, contract, opening, check)
    transcript = Transcript.from_json(json.loads(json.dumps(failure.transcript.to_json())))
    assert [type(step) for step in transcript.steps] == [Connect, Send]
    assert first_difference(transcript, replay(transcript, wrong, path="/ws")) is None
    assert first_difference(transcript, replay(transcript, right, path="/ws")) is not None
    with pytest.raises(CheckFailed, match=check):
        verify(wrong, transcript, document=document)
    verify(right, transcript, document=document)
    verify(right, transcript, document=document, opening=opening)


@pytest.mark.parametrize("wrong, right, contract, opening, check", WRONG)
def test_over_a_socket_the_bug_is_found_and_its_twin_is_right(
    wrong: Callable[[], FastAPI],
    right: Callable[[], FastAPI],
    contract: Contract,
    opening: Opening,
    check: str,
) -> None:
    assert over_a_socket(wrong, contract, opening, 100, check).failures
    report = over_a_socket(right, contract, opening, 40)
    assert [str(failure) for failure in report.failures] == []


@pytest.mark.long
@pytest.mark.parametrize("wrong, right, contract, opening, check", WRONG)
def test_over_a_socket_the_twin_is_right_for_long(
    wrong: object, right: Callable[[], FastAPI], contract: Contract, opening: Opening, check: str
) -> None:
    report = over_a_socket(right, contract, opening, 2_000)
    assert [str(failure) for failure in report.failures] == []


def test_who_is_not_answered_from_the_beginning_is_told_of_the_opening() -> None:
    with pytest.raises(CheckFailed) as raised:
        fuzz_test(create_greeter, max_examples=200)()
    assert str(raised.value).startswith(
        "liveness: The server did not answer 0 from the beginning. If it waits for a first message, say which by "
        "--opening, or by opening= of fuzz_test. (Nobody was answered."
    )
    with pytest.raises(ConfigurationError, match="most were not answered"):
        fuzz_test(create_greeter, without=["liveness"], max_examples=200)()


def test_a_server_that_answers_nobody_is_left_alone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.fuzzing.arena.Remote", partial(Remote, patience=0.2))
    report = over_a_socket(create_greeter, GREETER, None, 100)
    assert (report.coverage.programs, report.ended) == (1, "Nobody was answered.")
    assert [failure.check.code for failure in report.failures] == ["liveness"]


@pytest.mark.parametrize(
    "create_app, document, code",
    [(create_adder, DOCUMENT, 4401), (lambda: create_greeter(patience=5), None, 3010)],
)
def test_who_is_closed_before_anything_else_was_not_fuzzed(
    create_app: Callable[[], FastAPI], document: Body | None, code: int
) -> None:
    text = (
        rf"^Nothing was fuzzed: none of \d+ connections was served, most were closed with {code}. Say who the clients "
        r"are, by --token or --login, or by login= of fuzz_test; what they send first, if the server waits for that, "
        r"by --opening or opening=; and see that the path is the one that is served.$"
    )
    with pytest.raises(ConfigurationError, match=text):
        fuzz_test(create_app, document=document, max_examples=5)()


def test_an_opening_that_the_server_does_not_take_is_refused() -> None:
    text = (
        r"^The opening is no message that the server takes \(name: .* at least 1 character\): "
        r'{"type":"hello","name":""}'
    )
    with pytest.raises(ConfigurationError, match=text):
        fuzz_test(create_greeter, opening={"type": "hello", "name": ""}, max_examples=5)()


def test_the_opening_is_a_message_like_others() -> None:
    def create_app() -> FastAPI:
        return create_adder()

    undeclared = json.loads(json.dumps(DOCUMENT))
    reply = undeclared["operations"]["receive.auth"]["reply"]
    reply["messages"] = [one for one in reply["messages"] if not one["$ref"].endswith("send.welcome")]
    with pytest.raises(CheckFailed, match="'auth' of 0 has no such answer") as raised:
        fuzz_test(create_app, document=undeclared, opening={**AUTH, "id": "first"}, max_examples=5)()
    assert '1  0 connects → {"type":"auth","token":"letmein","id":"first"}' in str(raised.value)
    assert '0 ← {"type": "welcome", "ref": "first"}' in str(raised.value)


class Ticket(Message, type="ticket"):
    ticket: str


class Here(Message, type="here"):
    others: int


def test_everybody_has_an_opening_of_its_own_each_time() -> None:
    """A ticket is good for one connection; who comes when all have left sees by it that one has stayed."""
    given, used = count(), set[str]()

    def ticket(client: int) -> Body:
        return {"type": "ticket", "ticket": str(next(given))}

    def create_app() -> FastAPI:
        door = MessageProtocol("Door", receives=Ticket, sends=Here)
        inside = set[str]()

        @door.on_connect
        async def connected(connection: Connection) -> None:
            shown = (await connection.receive(Ticket)).ticket
            assert shown not in used
            used.add(shown)
            await connection.send(Here(others=len(inside)))
            inside.add(connection.id)

        app = FastAPI()
        app.include_router(door.router)
        return app

    arena = LocalArena(create_app, Contract.of(create_app()), opening=ticket, measured=False)
    failure = Fuzzer(arena, selected()).check((Connect(0),))
    assert failure is not None
    assert failure.check.code == "clean_room"
    openings = [step.opening for step in failure.transcript.steps if isinstance(step, Connect)]
    assert len(set(openings)) == len(openings) == 2


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("opening", ['{"type":"hello","name":"a"}', "tests.fuzz.doors:hello"])
def test_the_command_takes_an_opening_and_writes_it_down(opening: str, tmp_path: Path) -> None:
    written = tmp_path / "test_found.py"
    code, output = run(
        "fuzz", "tests.fuzz.doors:create_wrong_greeter", "--opening", opening, "--check", "server_error", "--seed", "1",
        "--phase", "stateful", "--max-examples", "200", "--failures", tmp_path, "--write-test", written,
    )  # fmt: skip
    assert code == 1, output
    assert "server_error: The server answered 0 with" in output
    assert ("opening=hello" in written.read_text()) == (opening[0] != "{")
    names: dict[str, Any] = {}
    exec(compile(written.read_text(), written, "exec"), names)
    (text,) = names["TRANSCRIPTS"].values()
    with pytest.raises(CheckFailed):
        names["test_what_the_fuzzer_found_stays_mended"](text)
    names["create_wrong_greeter"] = create_greeter
    names["test_what_the_fuzzer_found_stays_mended"](text)

    transcript = tmp_path / "server_error.json"
    assert run("replay", transcript, "tests.fuzz.doors:create_wrong_greeter") == (
        0,
        "2 steps, no difference.\n",
    )
    with serving(create_wrong_greeter()) as address:
        assert run("replay", transcript, f"ws://{address}/ws")[0] == 0


def test_a_replay_may_open_with_something_else(tmp_path: Path) -> None:
    sent = '{"type":"auth","token":"<redacted>"}'
    Transcript((Exchange(Connect(0, opening=sent), {0: ('{"type":"welcome"}',)}),)).save(tmp_path / "a.json")
    arguments = ("replay", tmp_path / "a.json", "tests.fuzz.doors:create_adder")
    code, output = run(*arguments)
    assert code == 1
    assert output.startswith(f"Step 1, 0 connects → {sent}:\n")
    assert run(*arguments, "--opening", json.dumps(AUTH)) == (0, "1 steps, no difference.\n")


def test_what_is_no_opening_is_said() -> None:
    code, output = run("fuzz", "tests.fuzz.doors:create_greeter", "--opening", "{nothing")
    assert (code, output.startswith("Error: --opening is no JSON: ")) == (1, True)
    code, output = run("fuzz", "tests.fuzz.doors:create_greeter", "--opening", "tests.fuzz.doors:nothing")
    assert (code, "tests.fuzz.doors:nothing cannot be imported" in output) == (1, True)


def test_a_transcript_is_opened_by_number() -> None:
    said = Transcript((Exchange(Connect(0, opening="old")), Exchange(Connect(1)), Exchange(Send(1, "{}"))))
    steps = said.opened(lambda client: {"client": client}).steps
    assert [parsed(step.opening or "") for step in steps[:2] if isinstance(step, Connect)] == [
        {"client": 0},
        {"client": 1},
    ]
    assert steps[2] == Send(1, "{}")
    assert TOKEN in str(said.opened(AUTH))
