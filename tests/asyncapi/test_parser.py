"""The parser that AsyncAPI publishes has nothing to say against our documents.

It comes from npm, once, into a folder of the user's cache.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field, HttpUrl
from starlette.middleware import Middleware

from examples.chat import app as chat
from protocol import Message, MessageProtocol, User
from protocol.asyncapi import document, lint
from protocol.asyncapi.served import sockets
from protocol.middleware import JWTAuthMiddleware, OriginMiddleware

PACKAGE = "@asyncapi/parser@3.6.3"
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastapi-protocol" / "asyncapi-parser"
)
SCRIPT = """
import { Parser } from '@asyncapi/parser';
import { readFileSync } from 'node:fs';
const parser = new Parser();
const found = [];
for (const file of process.argv.slice(2)) found.push(await parser.validate(readFileSync(file, 'utf8')));
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="session")
def parser() -> Path:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("AsyncAPI's parser needs npm, which is not there")
    script = CACHE / "validate.mjs"
    if not (CACHE / "node_modules" / "@asyncapi" / "parser").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "package.json").write_text('{"private": true}')
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", PACKAGE]
        done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"AsyncAPI's parser cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    script.write_text(SCRIPT)
    return script


class Pet(BaseModel):
    kind: Literal["pet"] = "pet"
    parent: "Pet | None" = None


class Plant(BaseModel):
    kind: Literal["plant"] = "plant"
    at: tuple[int, Annotated[float, Field(gt=0)]]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Everything(Message, type="every/thing ü"):
    """All that pydantic can say."""

    one: Annotated[Pet | Plant, Field(discriminator="kind", description="One of them.")]
    many: dict[str, list[Pet]] = {}
    when: datetime
    id_: UUID
    price: Decimal = Decimal("1.5")
    colour: Colour = Colour.BLUE
    page: HttpUrl
    code: Annotated[str, Field(pattern=r"^(?P<year>\d{4})-[a-z]+$")]
    word: Annotated[str, Field(pattern=r"^(?i)yes$")]
    anything: Any = None


class Either(Message):
    type: Literal["on", "off"]


def everything() -> FastAPI:
    async def user(token: str) -> User:
        return User(token)

    protocol = MessageProtocol(
        "Everything", path=("/", "/ws/{room}"), receives=Either, sends=Everything, user=user
    )

    @protocol.on(Everything)
    async def take(message: Everything) -> None: ...

    auth = Middleware(JWTAuthMiddleware, key="a secret of more than thirty-two characters", required=False)
    app = FastAPI(middleware=[Middleware(OriginMiddleware), auth])
    app.include_router(protocol.router, prefix="/v1")
    return app


def bare() -> FastAPI:
    app = FastAPI()
    app.include_router(MessageProtocol("Bare").router)
    return app


def examples() -> Iterator[FastAPI]:
    """The applications of the examples of one file."""
    for path in sorted(Path(str(chat.__file__)).parents[1].glob("*.py")):
        app = getattr(import_module(f"examples.{path.stem}"), "app", None)
        if app is not None:
            yield app


def documents() -> Iterator[dict[str, Any]]:
    for app in (chat.create_app(), everything(), bare(), *examples()):
        served = {id(socket.protocol): socket.protocol for socket in sockets(app)}
        for protocol in served.values():
            assert isinstance(protocol, MessageProtocol)
            yield document(app, protocol)


def test_there_is_no_diagnostic(parser: Path, tmp_path: Path) -> None:
    files = []
    for index, written in enumerate(documents()):
        assert lint(written) == []
        files.append(tmp_path / f"{index} {written['info']['title']}.json")
        files[-1].write_text(json.dumps(written))
    assert len(files) >= 15
    done = subprocess.run(
        ["node", parser, *files], cwd=CACHE, capture_output=True, text=True, timeout=180, check=True
    )
    found = dict(zip((path.stem for path in files), json.loads(done.stdout), strict=True))
    assert found == {path.stem: [] for path in files}
