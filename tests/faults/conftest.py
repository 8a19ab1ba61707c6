"""These tests talk to a process over real sockets, so they need real time."""

import asyncio
import inspect

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    limit = 150 if pyfuncitem.get_closest_marker("long") else 60
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), limit))
    return True
