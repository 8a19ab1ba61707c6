"""``protocol fuzz``: hold a server, or an application in this process, to its document."""

import json
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from protocol.asyncapi import Reader
from protocol.cli.targets import factory, imported, is_message, opening, read
from protocol.exceptions import ConfigurationError
from protocol.testing.files import write
from protocol.testing.record import SECRETS, Redaction
from protocol.testing.steps import parsed

if TYPE_CHECKING:
    from protocol.fuzzing.arena import Arena, Login
    from protocol.fuzzing.campaign import Report
    from protocol.fuzzing.contract import Contract
    from protocol.fuzzing.jobs import Jobs
    from protocol.fuzzing.rooms import RoomRules


_APART: Final = 1_000_000
"""More programs than a job plays."""


@click.command()
@click.argument("target", metavar="ws://…|MODULE:APP|MODULE:FACTORY")
@click.option("--schema", metavar="FILE|URL", help="The AsyncAPI document, JSON or YAML.")
@click.option("--channel", help="Which channel of the document; the first, unless it is said.")
@click.option("--token", "tokens", multiple=True, help="A bearer token; several: one for each client.")
@click.option(
    "--login", metavar="MODULE:FUNC", help="A function from a client's number to its token or headers."
)
@click.option("--subprotocol", "subprotocols", multiple=True, help="One that clients offer; may be repeated.")
@click.option(
    "--opening",
    metavar="JSON|MODULE:FUNC",
    help="What each client sends first, where the server waits for that; or a function from its number to that.",
)
@click.option("--room", metavar="MEMBER", help="The member of messages that names a room.")
@click.option(
    "--join", "joins", multiple=True, metavar="TYPE", help="A message that enters it; may be repeated."
)
@click.option("--leave", "leaves", multiple=True, metavar="TYPE", help="One that leaves it; may be repeated.")
@click.option(
    "--public", multiple=True, metavar="TYPE", help="One about a room that is for all; may be repeated."
)
@click.option(
    "--barrier", metavar="JSON", help="A request without effect, by whose answer clients know what is done."
)
@click.option("--clients", default=3, show_default=True, type=click.IntRange(1, 20), help="Clients at once.")
@click.option("--nodes", default=0, type=click.IntRange(0, 20), help="Simulate so many, and their faults.")
@click.option("--seed", type=int, help="The same seed, the same programs.")
@click.option(
    "--max-examples",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Programs to play, at most.",
)
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that play at once."
)
@click.option("--max-time", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End then.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many programs a second.")
@click.option("--phase", "phases", multiple=True, help="Only this: examples, coverage, fuzzing, stateful.")
@click.option("--check", "only", multiple=True, metavar="CODE", help="Only this check; may be repeated.")
@click.option("--no-check", "without", multiple=True, metavar="CODE", help="Not this check; may be repeated.")
@click.option(
    "--failures",
    default="fuzz-failures",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the transcripts of what fails.",
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit's XML.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Write the report.")
@click.option(
    "--write-test", type=click.Path(dir_okay=False, path_type=Path), help="Write a file for pytest."
)
def fuzz(target: str, **options: Any) -> None:
    """Play random programs of several clients, and check what comes back.

    A server needs --schema; an application of this framework, or MODULE:FACTORY, a function that makes one, does not.
    What MODULE:APP keeps outside of rooms and connections lives on from program to program; a factory makes each a
    fresh one. The exit code is 1 when a check fails, or the run does not come to its end.
    """
    try:
        from protocol.fuzzing import report as reports
        from protocol.fuzzing.campaign import PHASES, Campaign
        from protocol.fuzzing.checks import selected
    except ImportError as error:
        raise click.ClickException(_missing(error)) from None
    if unknown := set(options["phases"]) - set(PHASES):
        raise click.ClickException(f"There is no phase {min(unknown)!r}; there are {', '.join(PHASES)}.")
    if options["write_test"] is not None and options["write_test"].exists():
        raise click.ClickException(
            f"{options['write_test']} exists, and --write-test writes over no tests of what was found before: name "
            "another file."
        )
    if options["write_test"] is not None and _is_server(target):
        raise click.ClickException("--write-test needs MODULE:FACTORY: a test makes its own application.")
    unwritten = options["tokens"] or options["subprotocols"] or options["channel"] is not None
    if options["write_test"] is not None and unwritten:
        raise click.ClickException(
            "--write-test writes down no --token, no --subprotocol and no --channel: say who the clients are, and what "
            "they offer, by --login, and keep a document of one channel."
        )
    try:
        campaign = Campaign(
            arena=_arena(0, target, options),
            checks=selected(only=options["only"] or None, without=options["without"]),
            target=target,
            seed=secrets.randbelow(2**32) if options["seed"] is None else options["seed"],
            clients=options["clients"],
            max_examples=options["max_examples"],
            max_time=options["max_time"],
            phases=options["phases"] or PHASES,
            jobs=_jobs(target, options),
        )
        report = _with_progress(campaign.run, options["max_examples"])
    except ImportError as error:
        raise click.ClickException(_missing(error)) from None
    except (ConfigurationError, OSError) as error:
        raise click.ClickException(str(error)) from None
    from rich.console import Console

    try:
        _keep(report, campaign.arena.contract, options)
    except OSError as error:
        raise click.ClickException(f"Not all of the reports could be written: {error}") from None
    finally:
        reports.show(report, Console(), reproduce=_command(report.seed), folder=options["failures"])
    sys.exit(bool(report.failures or report.ended))


def _keep(report: "Report", contract: "Contract", options: Mapping[str, Any]) -> None:
    """Write the transcripts, and the reports that are asked for."""
    from protocol.fuzzing import report as reports

    reports.save(report.failures, options["failures"])
    if options["junit"] is not None:
        reports.junit(report, options["junit"])
    if options["as_json"] is not None:
        write(options["as_json"], json.dumps(reports.as_json(report), indent=2, ensure_ascii=False) + "\n")
    if options["write_test"] is not None and report.failures:
        reports.write_test(
            report,
            options["write_test"],
            login=options["login"],
            opening=_hook(options["opening"]),
            document=_document(options),
            rooms=contract.room if options["room"] or options["public"] else None,
            only=options["only"] or None,
            without=options["without"],
        )


def _hook(opening: str | None) -> str | None:
    """The function that says what clients send first, if it is one."""
    return None if opening is None or is_message(opening) else opening


def _missing(error: ImportError) -> str:
    """How to get what is not installed."""
    if error.name is None:
        return str(error)
    return f"protocol fuzz needs {error.name}, which is not installed: pip install 'fastapi-protocol[fuzz]'"


def _with_progress(run: Any, total: int) -> "Report":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("programs", total=total)

        def told(report: "Report") -> None:
            failed = f", {len(report.failures)} failed" if report.failures else ""
            progress.update(task, completed=report.coverage.programs, description=f"{report.phase}{failed}")

        report: Report = run(told)
        return report


def _command(seed: int) -> str:
    """The command line that was given, with the seed, and without tokens and the test, which is written once."""
    arguments = [
        _without_tokens(before, one)
        for before, one in pairwise(["", *sys.argv[1:]])
        if "--write-test" not in (before, one.partition("=")[0])
    ]
    given = any(argument.split("=")[0] == "--seed" for argument in arguments)
    return shlex.join(["protocol", *arguments, *([] if given else ["--seed", str(seed)])])


def _without_tokens(before: str, argument: str) -> str:
    """An argument of the command line behind ``before``, as it may be shown."""
    option, equals, value = argument.partition("=")
    if argument.startswith("--") and equals:
        return f"{option}={_without_tokens(option, value)}"
    if before == "--opening" and is_message(argument):
        return str(Redaction(SECRETS).frame(argument))
    return "…" if before == "--token" else argument


def _is_server(target: str) -> bool:
    return urlsplit(target).scheme in {"ws", "wss"}


def _jobs(target: str, options: Mapping[str, Any]) -> "Jobs | None":
    from protocol.fuzzing.jobs import Jobs

    count: int = options["jobs"]
    if count == 1:
        return None
    if _is_server(target):
        if options["tokens"]:
            raise ConfigurationError(
                "--jobs would play several programs as the same users at once: say who they are by --login."
            )
        if options["rate"] is not None:
            options = {**options, "rate": options["rate"] / count}
    return Jobs(count, partial(_arena, target=target, options=options))


def _arena(job: int, target: str, options: Mapping[str, Any]) -> "Arena":
    """Where a job plays, each as other clients."""
    from protocol.fuzzing.arena import RemoteArena
    from protocol.fuzzing.contract import Contract
    from protocol.fuzzing.simulated import local

    if urlsplit(target).scheme in {"http", "https"}:
        raise ConfigurationError(
            f"A WebSocket is reached by ws:// or wss://: {target.replace('http', 'ws', 1)}"
        )
    login = _login(options)
    first = None if options["opening"] is None else opening(options["opening"])
    contract: Contract | None = None
    if (document := _document(options)) is not None:
        contract = Contract.of_document(document, channel=options["channel"])
    if _is_server(target):
        if options["nodes"]:
            raise ConfigurationError("--nodes needs MODULE:FACTORY: a server cannot be simulated.")
        if contract is None:
            raise ConfigurationError("A server is fuzzed by its document: --schema FILE|URL")
        contract = _with_rooms(contract, options)
        if options["barrier"] is not None:
            contract = _with_barrier(contract, options["barrier"])
        return RemoteArena(
            target, contract, login=login, opening=first, rate=options["rate"], before=job * _APART
        )
    create_app = factory(target)
    if create_app is not imported(target) and (options["nodes"] or options["write_test"] is not None):
        raise ConfigurationError(
            f"--nodes and --write-test need MODULE:FACTORY, a function that makes an application: {target} is none."
        )
    contract = _with_rooms(Contract.of(create_app()) if contract is None else contract, options)
    return local(create_app, contract, nodes=options["nodes"], login=login, opening=first)


def _with_barrier(contract: "Contract", barrier: str) -> "Contract":
    """The contract with a request that is answered in its turn."""
    message = parsed(barrier)
    if message is None:
        raise ConfigurationError(f"--barrier takes a message, a JSON object, and not {barrier!r}.")
    return contract.with_barrier(message)


def _document(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The document that is given."""
    return None if options["schema"] is None else Reader.load(read(options["schema"])).document


def _with_rooms(contract: "Contract", options: Mapping[str, Any]) -> "Contract":
    """The contract with the rules for rooms that are given."""
    rooms = _rooms(options) or contract.room
    if options["public"]:
        if rooms is None:
            raise ConfigurationError("--public needs --room: which member of those messages names it?")
        rooms = replace(rooms, public=frozenset(options["public"]))
    return contract if rooms is contract.room or rooms is None else contract.with_rooms(rooms)


def _rooms(options: Mapping[str, Any]) -> "RoomRules | None":
    from protocol.fuzzing.rooms import RoomRules

    if options["room"] is not None:
        return RoomRules(options["room"], frozenset(options["joins"]), frozenset(options["leaves"]))
    if options["joins"] or options["leaves"]:
        raise ConfigurationError("--join and --leave need --room: which member of those messages names it?")
    return None


def _login(options: Mapping[str, Any]) -> "Login | None":
    """Who clients are, and which subprotocols they offer."""
    from protocol.fuzzing.arena import headers_of

    login = _named(options)
    if not options["subprotocols"]:
        return login
    headers, subprotocols = headers_of(login), ", ".join(options["subprotocols"])
    return lambda client: {**headers(client), "sec-websocket-protocol": subprotocols}


def _named(options: Mapping[str, Any]) -> "Login | None":
    if options["login"] is not None:
        login: Login = imported(options["login"])
        return login
    tokens: tuple[str, ...] = options["tokens"]
    return (lambda client: tokens[client % len(tokens)]) if tokens else None
