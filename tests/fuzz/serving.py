"""An application behind a real socket, as ``protocol run`` serves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from protocol.cli.run import config
from tests import threads

NOT_HERE = {"app", "port", "workers", "reload", "log_config"}


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve ``app`` for as long as the context; yields ``127.0.0.1:PORT``."""
    options = {name: value for name, value in config("").items() if name not in NOT_HERE}
    with threads.serving(app, **options) as server:
        yield f"127.0.0.1:{server.port}"
