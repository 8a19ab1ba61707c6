"""``protocol schema``: the AsyncAPI document of an application, of a file, or of a URL."""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import click

from protocol.application import MessageProtocol
from protocol.asyncapi import SERVER, Reader, document, lint
from protocol.asyncapi.served import protocols
from protocol.cli.targets import imported, read, served
from protocol.exceptions import ConfigurationError


@click.command()
@click.argument("target")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write to FILE."
)
@click.option(
    "--server", default=SERVER, show_default=True, metavar="URL", help="Where an application is served."
)
@click.option("--title", help="Which protocol, where an application serves several.")
def schema(target: str, output: Path | None, server: str, title: str | None) -> None:
    """Print the AsyncAPI document of TARGET.

    TARGET is MODULE:APP, an application, a function that makes one, or a protocol; or the FILE or URL of a
    document, which is checked: what is wrong with it is reported, and the exit code is 1.
    """
    try:
        text = _text(target)
        found = _made(target, server, title) if text is None else Reader.load(text).document
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    written = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(written, nl=False)
    else:
        output.write_text(written)
    if text is not None:
        findings = lint(found)
        for finding in findings:
            click.echo(finding, err=True)
        sys.exit(bool(findings))


def _text(target: str) -> str | None:
    """The text at a URL or in a file; ``None`` for ``MODULE:APP``."""
    is_file = ":" not in target or Path(target).exists()
    return read(target) if is_file or target.startswith(("http://", "https://")) else None


def _made(target: str, server: str, title: str | None) -> dict[str, Any]:
    app = _application(target)
    found = [one for one in protocols(app) if isinstance(one, MessageProtocol) and title in {None, one.title}]
    if len(found) == 1:
        return document(app, found[0], server=server)
    if not found:
        raise ConfigurationError(f"{target} serves no protocol{f' {title!r}' if title else ''}.")
    titles = ", ".join(repr(one.title) for one in found)
    raise ConfigurationError(f"{target} serves several protocols: choose one by --title: {titles}.")


def _application(target: str) -> Any:
    """The application that ``MODULE:APP`` names."""
    app = imported(target)
    if inspect.isroutine(app):
        app = app()
    return served(app) if isinstance(app, MessageProtocol) else app
