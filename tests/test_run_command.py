"""What ``protocol run`` asks of its server."""

from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner

from protocol.cli.main import main


@pytest.mark.parametrize("factory", [False, True])
def test_the_server_is_told_whether_its_target_is_a_factory(
    factory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    for name in ("HOST", "PORT"):  # the command sets them
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(uvicorn, "run", lambda **options: asked.update(options))
    flags = ["--factory"] if factory else []
    assert CliRunner().invoke(main, ["run", "tests.fuzz.chat:create_app", *flags]).exit_code == 0
    assert asked["factory"] is factory
