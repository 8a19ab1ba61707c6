"""The tests of the page's own modules, which Node runs."""

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
OLDEST = (20, 19)
"""The first Node of its line that imports ES modules without further ado."""


def _version() -> tuple[int, ...]:
    if NODE is None:
        return (0,)
    told = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, told.strip().removeprefix("v").split(".")[:2]))


@pytest.mark.skipif(_version() < OLDEST, reason="needs Node 20.19 or newer")
def test_the_modules_of_the_page() -> None:
    assert NODE is not None
    tests = sorted(Path(__file__).with_name("page").glob("*.test.js"))
    run = subprocess.run([NODE, "--test", *tests], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\n# fail 0" in run.stdout or "ℹ fail 0" in run.stdout
