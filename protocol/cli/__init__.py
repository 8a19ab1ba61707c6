"""The command ``protocol``: one module for each subcommand."""

from protocol.cli.main import main

__all__ = ["main"]
