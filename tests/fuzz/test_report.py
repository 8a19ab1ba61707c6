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
    told = json.loads((tmp_path / "report.json").read_text())["failures"][0]
    assert told["transcript"] == transcript.to_json()
    assert 'failures="1"' in (tmp_path / "report.xml").read_text()
