"""The command itself; what it does is in the modules of its subcommands."""

import click

from protocol.cli.fuzz import fuzz
from protocol.cli.replay import replay
from protocol.cli.run import run
from protocol.cli.schema import schema


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fastapi-protocol", prog_name="protocol")
def main() -> None:
    """Serve, document and test message protocols for WebSockets."""


main.add_command(fuzz)
main.add_command(replay)
main.add_command(run)
main.add_command(schema)
