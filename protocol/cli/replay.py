"""``protocol replay``: play a transcript against a server, or an application in this process."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from protocol.cli.targets import factory, opening
from protocol.exceptions import ConfigurationError
from protocol.testing.comparison import first_difference
from protocol.testing.replay import difference
from protocol.testing.replay import replay as replayed
from protocol.testing.transcript import Transcript


@click.command()
@click.argument("transcript", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", metavar="ws://…|MODULE:APP|MODULE:FACTORY")
@click.option("--token", "tokens", multiple=True, help="A bearer token; several: one for each client.")
@click.option(
    "--opening",
    "first",
    metavar="JSON|MODULE:FUNC",
    help="What each client sends first, in the place of what it sent then.",
)
@click.option("--path", help="The path to play at, where MODULE:FACTORY serves several.")
def replay(
    transcript: Path, target: str, tokens: tuple[str, ...], first: str | None, path: str | None
) -> None:
    """Play TRANSCRIPT against a server, and print the first difference.

    MODULE:FACTORY makes an application in this process; what was played on several simulated nodes needs one. The
    exit code is 1 if there is a difference, and 2 if the transcript cannot be played.
    """
    try:
        recorded = Transcript.load(transcript)
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"{transcript} is no transcript: {error}") from None

    def headers(client: int) -> dict[str, str]:
        return {"authorization": f"Bearer {tokens[client % len(tokens)]}"} if tokens else {}

    try:
        if first is not None:
            recorded = recorded.opened(opening(first))
        if urlsplit(target).scheme not in {"ws", "wss"}:
            found = first_difference(
                recorded, replayed(recorded, factory(target), path=path, headers=headers)
            )
        elif recorded.nodes:
            raise click.UsageError(f"It was played on {recorded.nodes} simulated nodes: give MODULE:FACTORY.")
        else:
            found = asyncio.run(difference(recorded, target, headers))
    except OSError as error:
        raise click.UsageError(f"{target} cannot be reached: {error}") from None
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{len(recorded.exchanges)} steps, no difference." if found is None else found)
    sys.exit(found is not None)
