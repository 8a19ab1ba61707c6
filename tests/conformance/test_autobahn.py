"""Autobahn's own cases (https://github.com/crossbario/autobahn-testsuite) against our class, run by kosoku.

Case 7.1.5 is left out: it sends a close frame inside a fragmented message, which the ``websockets`` library calls
an error. The cases that cut a message into up to 65,536 fragments need another limit than ours.
"""

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest
import uvloop

from tests.servers.harness import echo, limits, serving

KOSOKU = shutil.which("kosoku", path=str(Path(sys.executable).parent)) or shutil.which("kosoku")

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(KOSOKU is None, reason="kosoku is not installed"),
]


async def conformance(cases: list[str], reports: Path) -> None:
    failed = await failures(cases, reports / "first")
    if failed:
        # Autobahn gives a server one second to end a connection; on a busy machine that may be too little.
        failed = await failures([*failed], reports / "again")
    assert failed == {}


async def failures(cases: list[str], reports: Path) -> dict[str, str]:
    """How each case failed that did."""
    assert KOSOKU is not None
    ws = limits(max_fragments=2**16)
    options = {"ws_max_size": 2**24, "ws_per_message_deflate": True}
    arguments = [f"--include={case}" for case in cases]
    arguments += ["--exclude=7.1.5", "--parallelism=4", f"--outdir={reports}"]
    async with serving(echo, ws=ws, **options) as server:
        address = f"ws://127.0.0.1:{server.port}"
        process = await asyncio.create_subprocess_exec(
            KOSOKU, address, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output = (await process.communicate())[0].decode()
    failed = dict(re.findall(r"^ +(\d+(?:\.\d+)+): (.*)", output, re.MULTILINE))
    assert bool(process.returncode) is bool(failed), output
    return failed


def test_framing_pings_fragments_utf8_and_closing(tmp_path: Path) -> None:
    cases = [f"{number}.*" for number in (1, 2, 3, 4, 5, 6, 7, 10)]
    uvloop.run(conformance(cases, tmp_path))


@pytest.mark.long
def test_large_messages_and_compression(tmp_path: Path) -> None:
    uvloop.run(conformance([f"{number}.*" for number in (9, 12, 13)], tmp_path))
