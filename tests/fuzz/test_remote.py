"""A server behind a socket: fuzzed by its document, and held against transcripts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocol import asyncapi
from protocol.asyncapi.served import sockets
from protocol.cli.main import main
from protocol.cli.targets import read
from protocol.fuzzing.arena import RemoteArena
from protocol.fuzzing.campaign import Campaign
from protocol.fuzzing.checks import CHECKS
from protocol.fuzzing.contract import Contract
from protocol.testing.steps import Connect, Send
from protocol.testing.transcript import Exchange, Transcript
from tests.fuzz import clubs, picky, wrong_chat
from tests.fuzz.chat import create_app, login
from tests.fuzz.serving import serving


@pytest.fixture(scope="module")
def chat() -> Iterator[str]:
    with serving(create_app()) as address:
        yield address


def campaign(address: str, max_examples: int) -> Campaign:
    contract = Contract.of_document(json.loads(read(f"http://{address}/asyncapi.json")))
    arena = RemoteArena(f"ws://{address}/ws", contract, login=login)
    return Campaign(arena=arena, checks=CHECKS, target=address, seed=1, max_examples=max_examples)


def test_the_chat_keeps_its_promises_over_a_socket(chat: str) -> None:
    report = campaign(chat, 200).run()
    assert [str(failure) for failure in report.failures] == []
    assert 150 < report.coverage.programs <= 200


@pytest.mark.long
def test_the_chat_keeps_its_promises_over_a_socket_for_long(chat: str) -> None:
    report = campaign(chat, 20_000).run()
    assert [str(failure) for failure in report.failures] == []


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_command_fuzzes_a_server_by_its_document(chat: str, tmp_path: Path) -> None:
    code, output = run(
        "fuzz", f"ws://{chat}/ws", "--schema", f"http://{chat}/asyncapi.json", "--login", "tests.fuzz.chat:login",
        "--phase", "stateful", "--max-examples", "20", "--seed", "7", "--failures", tmp_path,
        "--json", tmp_path / "report.json", "--junit", tmp_path / "report.xml",
    )  # fmt: skip
    assert code == 0, output
    assert "seed 7: 12 checks passed." in output
    assert json.loads((tmp_path / "report.json").read_text())["failures"] == []
    assert 'failures="0"' in (tmp_path / "report.xml").read_text()


def test_the_command_finds_a_bug_and_writes_down_all_that_is_needed(tmp_path: Path) -> None:
    code, output = run(
        "fuzz", "tests.fuzz.wrong_chat:haunted", "--check", "clean_room", "--phase", "stateful", "--seed", "1",
        "--max-examples", "50", "--failures", tmp_path, "--json", tmp_path / "report.json",
        "--junit", tmp_path / "report.xml", "--write-test", tmp_path / "test_found.py",
    )  # fmt: skip
    assert code == 1
    assert "clean_room: Everybody had left" in output
    assert "Reproduce with: " in output
    transcript = Transcript.load(tmp_path / "clean_room.json")
    assert transcript.check == "clean_room"
    assert (
        json.loads((tmp_path / "report.json").read_text())["failures"][0]["transcript"]
        == transcript.to_json()
    )
    assert 'failures="1"' in (tmp_path / "report.xml").read_text()
    with serving(wrong_chat.haunted()) as address:
        assert run("replay", tmp_path / "clean_room.json", f"ws://{address}/ws")[0] == 0
    with serving(wrong_chat.create_app()) as address:
        code, output = run("replay", tmp_path / "clean_room.json", f"ws://{address}/ws")
    assert code == 1
    assert output.startswith("Step ")


def test_the_test_that_is_written_fails_until_the_bug_is_mended(tmp_path: Path) -> None:
    written = tmp_path / "test_found.py"
    code, output = run(
        "fuzz", "tests.fuzz.wrong_chat:haunted", "--check", "clean_room", "--phase", "stateful", "--seed", "1",
        "--max-examples", "50", "--failures", tmp_path, "--login", "tests.fuzz.chat:login", "--write-test", written,
    )  # fmt: skip
    assert code == 1, output
    assert "login=login" in written.read_text()
    assert played(written) == (1, "1 failed")
    written.write_text(written.read_text().replace("haunted", "create_app"))
    assert played(written) == (0, "1 passed")


def test_the_test_that_is_written_knows_rooms_document_and_checks(tmp_path: Path) -> None:
    written = tmp_path / "test_found.py"
    document = tmp_path / "clubs.json"
    served = clubs.for_outsiders()
    document.write_text(json.dumps(asyncapi.document(served, next(sockets(served)).protocol)))  # type: ignore[arg-type]
    code, output = run(
        "fuzz", "tests.fuzz.clubs:for_outsiders", "--failures", tmp_path, "--phase", "stateful", "--seed", "1",
        "--max-examples", "300", "--check", "isolation", "--room", "club", "--join", "come", "--leave", "go",
        "--schema", document, "--write-test", written,
    )  # fmt: skip
    assert code == 1, output
    assert "document=DOCUMENT, rooms=RoomRules('club', " in written.read_text()
    assert "only=['isolation'])" in written.read_text()
    assert played(written) == (1, "1 failed")


def played(test: Path) -> tuple[int, str]:
    """What pytest says of a file, without the configuration of this repository."""
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.splitlines()[-1].split(" in ")[0]


@pytest.mark.parametrize("missing", ["hypothesis", "jsonschema_rs", "rich"])
def test_without_its_extra_the_command_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("protocol.fuzzing", "rich"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    code, output = run("fuzz", "tests.fuzz.wrong_chat:create_app", "--max-examples", "1")
    assert code == 1
    assert output.strip().endswith("which is not installed: pip install 'fastapi-protocol[fuzz]'")


def test_an_application_is_fuzzed_as_it_is(tmp_path: Path) -> None:
    code, output = run(
        "fuzz", "examples.streaming:app", "--seed", "1", "--max-examples", "20", "--failures", tmp_path
    )
    assert code == 0, output


def test_rooms_of_any_name_are_named_by_options(tmp_path: Path) -> None:
    code, output = run(
        "fuzz", "tests.fuzz.clubs:for_outsiders", "--failures", tmp_path, "--phase", "stateful", "--seed", "1",
        "--max-examples", "300", "--check", "isolation", "--room", "club", "--join", "come", "--leave", "go",
    )  # fmt: skip
    assert code == 1
    assert "is not in 'a', and what it sent reached" in output


def test_a_recorded_refusal_is_replayed(chat: str, tmp_path: Path) -> None:
    refused = Transcript((Exchange(Connect(0), refused={0: 401}),))
    refused.save(tmp_path / "refused.json")
    assert run("replay", tmp_path / "refused.json", f"ws://{chat}/ws") == (0, "1 steps, no difference.\n")


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("fuzz", "ws://127.0.0.1:1/ws"), "A server is fuzzed by its document: --schema FILE|URL"),
        (("fuzz", "tests.fuzz.chat:nothing"), "tests.fuzz.chat:nothing cannot be imported"),
        (("fuzz", "tests.fuzz.chat:create_app", "--no-check", "luck"), "There is no check 'luck'"),
        (("fuzz", "tests.fuzz.chat:create_app", "--phase", "luck"), "There is no phase 'luck'"),
        (("fuzz", "ws://127.0.0.1:1/ws", "--schema", "/nowhere"), "/nowhere cannot be read"),
        (("fuzz", "tests.fuzz.chat:create_app", "--join", "join"), "--join and --leave need --room"),
        (
            ("fuzz", "tests.fuzz.chat:create_app", "--room", "room", "--join", "status"),
            "No message 'status' with a member 'room' is received.",
        ),
        (("fuzz", "examples.rooms:app", "--nodes", "2"), "examples.rooms:app is none."),
        (("fuzz", "examples.rooms:app", "--write-test", "test_it.py"), "need MODULE:FACTORY"),
        (
            ("fuzz", "tests.fuzz.chat:create_app", "--write-test", "test_it.py", "--token", "secret"),
            "--write-test writes down no --token, no --subprotocol",
        ),
        (
            ("fuzz", "http://127.0.0.1:1/ws", "--schema", "any.json"),
            "A WebSocket is reached by ws:// or wss://: ws://127.0.0.1:1/ws",
        ),
        (("replay", __file__, "ws://127.0.0.1:1/ws"), "is no transcript"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], text: str) -> None:
    code, output = run(*arguments)
    assert code != 0
    assert text in " ".join(output.split())


def test_a_server_that_lets_nobody_in_was_not_fuzzed(tmp_path: Path) -> None:
    code, output = run(
        "fuzz", "tests.fuzz.chat:create_app", "--seed", "1", "--max-examples", "5", "--failures", tmp_path
    )
    assert code == 1
    assert "connections was served, most were refused with 401. Say who the clients are" in output


@pytest.fixture
def mortal() -> Iterator[str]:
    """The address of a server whose process ends after a few connections."""
    server = subprocess.Popen([sys.executable, "-m", "tests.fuzz.mortal"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("check, text", [("server_error", "server_error failed. "), ("undeclared_close", "")])
def test_a_server_that_ends_is_a_failure_and_what_was_found_is_kept(
    check: str, text: str, mortal: str, tmp_path: Path
) -> None:
    code, output = run(
        "fuzz", f"ws://{mortal}/ws", "--schema", f"http://{mortal}/asyncapi.json", "--seed", "1",
        "--max-examples", "50", "--failures", tmp_path, "--check", check,
    )  # fmt: skip
    assert code == 1, output
    assert f", seed 1: {text}The server has ended.\n" in output
    assert (tmp_path / "server_error.json").exists() == bool(text)


def test_a_server_of_another_scheme_is_not_blamed(chat: str, tmp_path: Path) -> None:
    code, output = run(
        "fuzz", f"wss://{chat}/ws", "--schema", f"http://{chat}/asyncapi.json", "--failures", tmp_path
    )  # fmt: skip
    assert code == 1
    assert f"wss://{chat}/ws does not shake hands: " in output
    assert "failed." not in output


@pytest.mark.parametrize("target", ["tests.fuzz.picky:create_app", "ws"])
def test_a_server_that_speaks_a_subprotocol_only_is_fuzzed(target: str, tmp_path: Path) -> None:
    with serving(picky.create_app()) as address:
        target = f"ws://{address}/ws" if target == "ws" else target
        options = ("--schema", f"http://{address}/asyncapi.json", "--max-examples", "5", "--seed", "1")
        assert run("fuzz", target, *options, "--failures", tmp_path)[0] == 1
        code, output = run("fuzz", target, *options, "--failures", tmp_path, "--subprotocol", "picky.v1")
    assert code == 0, output


def test_a_server_that_is_not_there_cannot_be_fuzzed(tmp_path: Path) -> None:
    join = Transcript((Exchange(Connect(0)), Exchange(Send(0, "{}"))))
    join.save(tmp_path / "join.json")
    code, output = run("replay", tmp_path / "join.json", "ws://127.0.0.1:1/ws")
    assert code == 2
    assert "cannot be reached" in output
