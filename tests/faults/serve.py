"""Serve an application as ``protocol run`` does, but for some options of uvicorn."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from protocol.cli.run import config
from tests.process import Process, free_port
from tests.process import serving as serving_process


@contextmanager
def serving(name: str, *, send_buffer: int | None = None, **options: Any) -> Iterator[Process]:
    """A process that serves ``name`` of :mod:`tests.faults.application`.

    ``send_buffer`` is what the kernel keeps of a connection, by itself megabytes before anything waits here.
    """
    port = free_port()
    arguments = [f"tests.faults.application:{name}", port, send_buffer, options]
    with serving_process(["-m", "tests.faults.serve", json.dumps(arguments)], port) as process:
        yield process


def main(target: str, port: int, send_buffer: int | None, options: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        uvicorn.Server(uvicorn.Config(**config(target) | options)).run([listener])


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
