"""Async tests run on virtual time; hypothesis has a profile for each occasion."""

import inspect
import os
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from protocol.testing import Client, run
from tests.declared import complaint

settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile(
    "long", deadline=timedelta(seconds=60), max_examples=5000, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


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
