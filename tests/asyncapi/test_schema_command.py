"""``protocol schema`` prints the document of an application, and checks that of a file or URL."""

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from protocol.asyncapi import Reader, lint
from protocol.cli import main

MODULE = """
from fastapi import FastAPI
from protocol import Message, MessageProtocol

class Say(Message, type="say"):
    text: str

chat = MessageProtocol("Chat", receives=Say)
news = MessageProtocol("News", path="/news", sends=Say, asyncapi_url=None)
app = FastAPI()
app.include_router(chat.router)
both = FastAPI()
both.include_router(chat.router)
both.include_router(news.router)
empty = FastAPI()

def create():
    return app
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "served_here.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "served_here"
    sys.modules.pop("served_here", None)


def schema(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["schema", *arguments])


@pytest.mark.parametrize("name", ["app", "create", "chat"])
def test_an_application_a_factory_and_a_protocol_have_a_document(module: str, name: str) -> None:
    result = schema(f"{module}:{name}")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert lint(found) == []
    assert found["servers"] == {"default": {"host": "localhost:8000", "protocol": "ws"}}
    assert found["channels"]["ws"]["address"] == "/ws"


def test_it_is_written_to_a_file_for_a_server(module: str) -> None:
    assert schema(f"{module}:app", "-o", "chat.json", "--server", "wss://chat.example.com").stdout == ""
    found = json.loads(Path("chat.json").read_text())
    assert found["servers"] == {"default": {"host": "chat.example.com", "protocol": "wss"}}


def test_one_of_several_protocols_is_chosen_by_its_title(module: str) -> None:
    assert json.loads(schema(f"{module}:both", "--title", "News").stdout)["info"]["title"] == "News"


@pytest.mark.parametrize(
    "target, complaint",
    [
        (
            "both",
            "Error: served_here:both serves several protocols: choose one by --title: 'Chat', 'News'.\n",
        ),
        ("empty", "Error: served_here:empty serves no protocol.\n"),
        (
            "nobody",
            "Error: served_here:nobody cannot be imported: module 'served_here' has no attribute 'nobody'\n",
        ),
    ],
)
def test_what_has_no_document_is_said(module: str, target: str, complaint: str) -> None:
    result = schema(f"{module}:{target}")
    assert (result.exit_code, result.stderr) == (1, complaint)


def test_a_file_is_normalised_and_checked(module: str) -> None:
    Path("good.json").write_text(schema(f"{module}:app").stdout.replace("\n", ""))
    assert schema("good.json").stdout == schema(f"{module}:app").stdout
    Path("bad.yaml").write_text("asyncapi: 3.0.0\nservers: {main: {host: 'ws://localhost', protocol: ws}}\n")
    result = schema("bad.yaml")
    assert result.exit_code == 1
    assert result.stderr == "scheme_in_host at #/servers/main: The host is 'ws://localhost'.\n"
    assert json.loads(result.stdout)["asyncapi"] == "3.0.0"


@pytest.mark.parametrize("target", ["nothing.json", "http://127.0.0.1:9/asyncapi.json"])
def test_what_cannot_be_read_is_said(module: str, target: str) -> None:
    result = schema(target)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {target} cannot be read: ")


def test_a_url_is_read(module: str) -> None:
    text = schema(f"{module}:app").stdout

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        result = schema(f"http://127.0.0.1:{server.server_port}/asyncapi.json")
        thread.join()
    assert result.exit_code == 0
    assert Reader.load(result.stdout).document == json.loads(text)
