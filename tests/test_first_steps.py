"""A stranger's path: the README's program and its transcript, then the tutorial's, saved and served as they say."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

from tests.process import PATIENCE, ROOT, free_port, serving
from tests.test_docs import BLOCK


@contextmanager
def served(folder: Path, name: str, source: str, path: str) -> Iterator[ClientConnection]:
    """A connection to the program ``source``, saved as ``name`` and run by ``protocol run``."""
    (folder / f"{name}.py").write_text(source)
    port = free_port()
    command = ["-m", "protocol", "run", f"{name}:app", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        serving(command, port, folder=folder, environment=environment),
        connect(f"ws://127.0.0.1:{port}{path}") as socket,
    ):
        yield socket


def test_the_program_of_the_readme_answers_as_its_transcript_says(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    program = BLOCK.findall(text)[0]
    (transcript,) = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^(→|←) (.*(?:\n .*)*)", transcript, re.MULTILINE)
    assert {direction for direction, _ in lines} == {"→", "←"}
    with served(tmp_path, "hello", program, "/ws") as socket:
        for direction, frame in lines:
            if direction == "→":
                socket.send(frame)
            else:
                assert json.loads(socket.recv(PATIENCE)) == json.loads(frame)


def test_the_message_types_of_the_tutorial_are_served(tmp_path: Path) -> None:
    page, _ = (ROOT / "docs" / "tutorial.md").read_text().split("## Test it")
    with served(tmp_path, "quiz", "\n".join(BLOCK.findall(page)), "/quiz") as socket:
        socket.send('{"type": "enter", "room": "lobby", "id": 1}')
        entered = json.loads(socket.recv(PATIENCE))
        assert (entered["type"], entered["ref"], len(entered["players"])) == ("entered", 1, 1)
        socket.send('{"type": "guess", "room": "lobby", "number": 42}')
        hint = json.loads(socket.recv(PATIENCE))
        assert hint == {"type": "hint", "room": "lobby", "player": entered["players"][0], "hint": "found"}
