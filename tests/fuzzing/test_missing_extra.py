"""Without its extra the package says what to install."""

import importlib
import sys

import pytest


@pytest.mark.parametrize("missing", ["hypothesis", "jsonschema_rs"])
def test_the_error_has_the_pip_line(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("protocol.fuzzing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("protocol.fuzzing")
    assert str(caught.value) == (
        f"protocol.fuzzing needs {missing}, which is not installed: pip install 'fastapi-protocol[fuzz]'"
    )
