"""``protocol replay``: play a transcript against a server."""

import asyncio
import sys
from pathlib import Path

import click

from protocol.testing.replay import difference
from protocol.testing.transcript import Transcript


@click.command()
@click.argument("transcript", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("url", metavar="ws://…")
@click.option("--token", "tokens", multiple=True, help="A bearer token; several: one for each client.")
def replay(transcript: Path, url: str, tokens: tuple[str, ...]) -> None:
    """Play TRANSCRIPT against a server, and print the first difference.

    The exit code is 1 if there is one, and 2 if the transcript cannot be played.
    """
    try:
        recorded = Transcript.load(transcript)
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"{transcript} is no transcript: {error}") from None

    def headers(client: int) -> dict[str, str]:
        return {"authorization": f"Bearer {tokens[client % len(tokens)]}"} if tokens else {}

    try:
        found = asyncio.run(difference(recorded, url, headers))
    except OSError as error:
        raise click.UsageError(f"{url} cannot be reached: {error}") from None
    click.echo(f"{len(recorded.exchanges)} steps, no difference." if found is None else found)
    sys.exit(found is not None)
