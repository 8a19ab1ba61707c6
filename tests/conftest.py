"""Async tests run on virtual time, and no server may send what it does not declare."""

import inspect
import os
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from protocol.testing import Client, run
from tests import profiles
from tests.declared import complaint

profiles.load()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores, as many tests wait for a server or a browser."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests on virtual time: no test sleeps, and one that hangs fails at once."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which a server sends what its document does not declare; a module may override this."""
    complaints: list[str] = []
    take = Client._take

    async def checked(self: Client, event: MutableMapping[str, Any]) -> None:
        frame = event.get("text")
        if event["type"] == "websocket.send" and isinstance(frame, str):
            complaints.extend(filter(None, [complaint(self.app, self.scope["path"], frame)]))
        await take(self, event)

    monkeypatch.setattr(Client, "_take", checked)
    yield
    assert not complaints, "\n".join(complaints)
