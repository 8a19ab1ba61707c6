"""What is told of a campaign, and what is left on the disk."""

import json
from pathlib import Path

from click.testing import CliRunner
from fastapi import FastAPI, WebSocket

from protocol.cli.main import main
from protocol.testing.transcript import Transcript
from tests.fuzz import plain

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
