"""What is told of a campaign, and what is left on the disk."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI, WebSocket

from protocol.cli.main import main
from protocol.exceptions import ConfigurationError
from protocol.fuzzing import Contract, RoomRules, fuzz_test
from protocol.fuzzing.checks import applicable, selected
from protocol.fuzzing.simulated import local
from protocol.testing.transcript import Transcript
from tests.fuzz import plain, wrong_chat

HALF = plain.document({"ask": ({}, ())}, {"half": {"text": plain.TEXT}})


def answers_half_a_character() -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def serve(websocket: WebSocket) -> None:
        async with plain.Peer(websocket, HALF) as peer:
            while (message := await peer.receive()) is not None:
                peer.answer(message, "whole", text="\ud800")

    return app


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["fuzz", *map(str, arguments)])
    return result.exit_code, result.output


def test_half_a_character_in_a_declared_message_is_held_to_its_schema() -> None:
    contract = Contract.of_document(HALF)
    assert contract.complaint({"type": "half", "text": "\ud800"}, "half") is None
    assert contract.complaint({"type": "half", "text": "\ud800" * 21}, "half") == "It does not fit its schema"


def test_half_a_character_of_the_server_is_in_every_report(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text(json.dumps(HALF))
    code, output = run(
        "tests.fuzz.test_report:answers_half_a_character", "--schema", tmp_path / "half.json", "--seed", "1",
        "--max-examples", "50", "--phase", "stateful", "--check", "message_conformance", "--failures", tmp_path / "failures",
        "--json", tmp_path / "report.json", "--junit", tmp_path / "report.xml",
        "--write-test", tmp_path / "test_found.py",
    )  # fmt: skip
    assert code == 1, output
    transcript = Transcript.load(tmp_path / "failures" / "message_conformance.json")
    assert r"\ud800" in (tmp_path / "test_found.py").read_text()
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["failures"][0]["transcript"] == transcript.to_json()
    assert told["outcomes"]["ask"]["undeclared"] > 0
    assert 'failures="1"' in (tmp_path / "report.xml").read_text()


def found(tmp_path: Path, *more: str | Path) -> tuple[int, str]:
    """Let the command find a ghost."""
    return run(
        "tests.fuzz.wrong_chat:haunted", "--check", "clean_room", "--phase", "stateful", "--seed", "1",
        "--max-examples", "50", "--failures", tmp_path / "failures", *more,
    )  # fmt: skip


def test_a_test_that_was_written_is_not_written_over(tmp_path: Path) -> None:
    written = tmp_path / "test_found.py"
    written.write_text("# of yesterday")
    code, output = found(tmp_path, "--write-test", written)
    assert code == 1
    assert "exists, and --write-test writes over no tests" in " ".join(output.split())
    assert written.read_text() == "# of yesterday"


def test_no_test_is_written_where_nothing_was_found(tmp_path: Path) -> None:
    written = tmp_path / "test_found.py"
    code, output = run(
        "tests.fuzz.wrong_chat:create_app",
        "--max-examples",
        "5",
        "--failures",
        tmp_path,
        "--write-test",
        written,
    )
    assert (code, written.exists()) == (0, False), output


def test_it_is_said_where_transcripts_are_and_which_are_old(tmp_path: Path) -> None:
    folder = tmp_path / "failures"
    _, output = found(tmp_path)
    assert f"Transcripts: {folder / 'clean_room.json'}\n" in output
    code, output = run(
        "tests.fuzz.wrong_chat:create_app",
        "--max-examples",
        "5",
        "--failures",
        folder,
        "--check",
        "clean_room",
    )
    assert code == 0
    assert f"Left by earlier runs: {folder / 'clean_room.json'}\n" in output


def test_reports_are_written_into_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    places = tmp_path / "a" / "report.xml", tmp_path / "b" / "report.json", tmp_path / "c" / "test_found.py"
    code, output = found(tmp_path, "--junit", places[0], "--json", places[1], "--write-test", places[2])
    assert code == 1, output
    assert all(place.exists() for place in places)


def test_what_was_found_is_told_even_if_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, output = found(tmp_path, "--junit", tmp_path / "file" / "report.xml")
    assert code == 1
    assert "clean_room failed." in output
    assert "Error: Not all of the reports could be written: " in output
    assert (tmp_path / "failures" / "clean_room.json").exists()


def without_ids() -> dict[str, object]:
    """A document that does not say how an answer is told."""
    found = plain.document({"ask": ({}, ("half",))}, {"half": {}})
    for message in found["channels"]["ws"]["messages"].values():
        del message["correlationId"]
    return found


def test_checks_that_could_find_nothing_are_not_passed(tmp_path: Path) -> None:
    document, text, xml = tmp_path / "ask.json", tmp_path / "report.json", tmp_path / "report.xml"
    document.write_text(json.dumps(without_ids()))
    code, output = run(
        "tests.fuzz.test_report:answers_half_a_character", "--schema", document, "--seed", "1",
        "--max-examples", "5", "--failures", tmp_path, "--json", text, "--junit", xml,
        "--check", "liveness", "--check", "request_reply", "--check", "transparency",
    )  # fmt: skip
    assert code == 0, output
    assert "Not applicable: transparency lacks several nodes (--nodes, or nodes=).\n" in output
    assert ": 1 checks passed." in output
    found = json.loads(text.read_text())["not_applicable"]
    assert [one["check"] for one in found] == ["request_reply", "transparency"]
    assert found[0]["lacks"] == (
        "the members that an id is in and its answer has it in (correlationId of the messages)"
    )
    assert 'skipped="2"' in xml.read_text()
    assert '<skipped message="lacks several nodes (--nodes, or nodes=)" />' in xml.read_text()


def test_a_campaign_of_checks_that_could_find_nothing_is_refused(tmp_path: Path) -> None:
    target = "tests.fuzz.wrong_chat:create_app"
    code, output = run(target, "--check", "transparency", "--failures", tmp_path)
    assert code == 1
    assert (
        "Error: Nothing would be checked: transparency lacks several nodes (--nodes, or nodes=).\n" in output
    )
    with pytest.raises(
        ConfigurationError, match=r"^Nothing would be checked: transparency lacks several nodes"
    ):
        fuzz_test(wrong_chat.create_app, only=["transparency"])()


PLAIN = Contract.of_document(plain.document({"ask": ({}, ())}, {"half": {}}))


@pytest.mark.parametrize(
    "change, nodes, code, lacks",
    [
        (
            {"close_codes": None},
            0,
            "undeclared_close",
            "the close codes in the document (x-close-codes of the channel)",
        ),
        ({}, 0, "isolation", "rooms (--room, or rooms=)"),
        (
            {"room": RoomRules("room")},
            0,
            "isolation",
            "a message of the server that names its room by 'room'",
        ),
        ({}, 0, "recovery", "rooms with history: offsets, and 'recovered' in the answer to a join"),
        ({}, 2, "serialisability", "a single node (without --nodes, or nodes=)"),
        ({}, 2, "no_growth", "a single application in this process, whose memory is seen"),
    ],
)
def test_a_check_says_what_it_lacks(change: dict[str, Any], nodes: int, code: str, lacks: str) -> None:
    arena = local(answers_half_a_character, replace(PLAIN, **change), nodes=nodes)
    assert applicable(selected(), arena)[1][code] == lacks
