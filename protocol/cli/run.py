"""``protocol run``: uvicorn with our WebSocket class, and limits that are safe for connections from anywhere."""

import os
from typing import Any, Final

import click
import uvicorn
from uvicorn.config import LOGGING_CONFIG

from protocol.application import MessageProtocol
from protocol.asyncapi.served import sockets
from protocol.cli.targets import factory

MAX_FRAME: Final = 65536
PING_SECONDS: Final = 25.0
PONG_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 15
BACKLOG: Final = 4096

_LOG: Final = {"handlers": ["default"], "level": "INFO", "propagate": False}


def config(
    target: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    factory: bool = False,
    workers: int = 1,
    reload: bool = False,
    trusted_proxies: str | None = None,
    max_frame: int = MAX_FRAME,
    grace: int = GRACE_SECONDS,
) -> dict[str, Any]:
    """The options of ``uvicorn.run`` for an application: what ``protocol run`` does, for programs.

    Frames are limited to ``max_frame`` bytes and are not compressed: a compressed frame of a few kilobytes
    takes the memory of all that it expands to. Forwarded headers are believed from ``trusted_proxies`` only.
    """
    return {
        "app": target,
        "factory": factory,
        "host": host,
        "port": port,
        "workers": workers,
        "reload": reload,
        "ws": "protocol.servers.uvicorn:WebSocketProtocol",
        "http": "protocol.servers.http:HTTPProtocol",
        "ws_max_size": max_frame,
        "ws_per_message_deflate": False,
        "ws_ping_interval": PING_SECONDS,
        "ws_ping_timeout": PONG_SECONDS,
        "proxy_headers": trusted_proxies is not None,
        "forwarded_allow_ips": trusted_proxies,
        "timeout_graceful_shutdown": grace,
        "backlog": BACKLOG,
        # uvicorn's own logging, and with it the lines of this package, such as those of LoggingMiddleware.
        "log_config": {**LOGGING_CONFIG, "loggers": {**LOGGING_CONFIG["loggers"], "protocol": _LOG}},
    }


@click.command()
@click.argument("target", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on."
)
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that makes it.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--reload", is_flag=True, help="Restart when a file changes; for development.")
@click.option(
    "--trusted-proxies", metavar="ADDRESSES", help="Believe forwarded headers from these, by comma."
)
@click.option(
    "--max-frame", default=MAX_FRAME, show_default=True, type=click.IntRange(1), help="Bytes of a frame."
)
@click.option(
    "--grace", default=GRACE_SECONDS, show_default=True, type=click.IntRange(1), help="Seconds to drain."
)
def run(**options: Any) -> None:
    """Serve an application: uvicorn, with a class of our own for WebSockets.

    It gives up peers that do not read, answers the handshake or the connection is closed in time, and on
    SIGTERM tells clients when to come back.
    """
    # An application may want to know where it is served, for its list of origins.
    os.environ.update(HOST=options["host"], PORT=str(options["port"]))
    if options["workers"] > 1:
        _check_workers(options["target"])
    uvicorn.run(**config(options.pop("target"), **options), app_dir=".")


def _check_workers(target: str) -> None:
    """Refuse several processes for a protocol whose broker is of one: each would have rooms and users of its own."""
    for socket in sockets(factory(target)()):
        if isinstance(socket.protocol, MessageProtocol) and socket.protocol.settings.broker == "memory://":
            raise click.UsageError(
                f"The broker memory:// of {socket.protocol.title!r} is of one process: in several, those who are in one "
                f"room would not hear each other. Serve it with --workers 1."
            )
