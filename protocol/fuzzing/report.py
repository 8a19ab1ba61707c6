"""What a campaign found, for people and for programs: text, JUnit's XML, JSON, and a test to keep."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

from rich.console import Console
from rich.table import Table

from protocol.fuzzing.campaign import Report
from protocol.fuzzing.checks import Check
from protocol.fuzzing.fuzzer import Failure
from protocol.fuzzing.rooms import RoomRules
from protocol.testing.files import write


def show(report: Report, console: Console, *, reproduce: str, folder: Path) -> None:
    """Print the coverage, each failure, and how to see it again. ``folder``: where the transcripts are."""
    console.print(coverage_table(report))
    for code, why in report.lacking.items():
        console.print(f"Not applicable: {code} lacks {why}.", markup=False, highlight=False, soft_wrap=True)
    for failure in report.failures:
        console.rule(f"[red]{failure.check.code}")
        console.print(str(failure), markup=False, highlight=False, soft_wrap=True)
    failed = ", ".join(failure.check.code for failure in report.failures)
    found = (
        " ".join(filter(None, (failed and f"{failed} failed.", report.ended)))
        or f"{len(report.checks) - len(report.lacking)} checks passed."
    )
    console.print(
        f"\n{report.coverage.programs} programs in {report.seconds:.1f} s, seed {report.seed}: {found}",
        markup=False,
        highlight=False,
    )
    if report.failures:
        console.print(f"Reproduce with: {reproduce}", markup=False, highlight=False, soft_wrap=True)
    failing = {failure.check for failure in report.failures}
    for when, paths in (
        ("Transcripts", [_transcript(check, folder) for check in report.checks if check in failing]),
        (
            "Left by earlier runs",
            [_transcript(check, folder) for check in report.checks if check not in failing],
        ),
    ):
        if names := ", ".join(str(path) for path in paths if path.exists()):
            console.print(f"{when}: {names}", markup=False, highlight=False, soft_wrap=True)


def coverage_table(report: Report) -> Table:
    """Types by outcomes: what was sent, and what became of it."""
    table = Table(
        title="messages and their outcomes",
        title_justify="left",
        caption="not asked: sent without an id; no answer: none came to an id",
        caption_justify="left",
    )
    table.add_column("type")
    # One column, which wraps between outcomes: one for each would be cut where there are many.
    table.add_column("outcomes")
    for tag, outcomes in sorted(report.coverage.outcomes.items()):
        table.add_row(
            tag,
            ", ".join(
                f"{name} {count}".replace(" ", "\N{NO-BREAK SPACE}")
                for name, count in sorted(outcomes.items())
            ),
        )
    return table


def junit(report: Report, path: Path) -> None:
    """A test case for each check, in the XML that CI servers read."""
    failed = {failure.check.code: failure for failure in report.failures}
    suite = Element(
        "testsuite",
        name=f"protocol fuzz {report.target}",
        tests=str(len(report.checks)),
        failures=str(len(failed)),
        skipped=str(len(report.lacking)),
        time=f"{report.seconds:.3f}",
    )
    for check in report.checks:
        case = SubElement(suite, "testcase", classname="protocol.fuzz", name=check.code)
        if (failure := failed.get(check.code)) is not None:
            SubElement(case, "failure", message=_xml(failure.finding.detail)).text = _xml(str(failure))
        elif check.code in report.lacking:
            SubElement(case, "skipped", message=f"lacks {report.lacking[check.code]}")
    write(path, f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(suite, encoding="unicode")}\n')


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 has no place for (section 2.2)."""
    return "".join(
        char
        if char in "\t\n" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
        else "?"
        for char in text
    )


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "target": report.target,
        "seed": report.seed,
        "programs": report.coverage.programs,
        "seconds": round(report.seconds, 3),
        "outcomes": {tag: dict(outcomes) for tag, outcomes in report.coverage.outcomes.items()},
        "checks": [check.code for check in report.checks],
        "not_applicable": [{"check": code, "lacks": why} for code, why in report.lacking.items()],
        "failures": [
            {
                "check": failure.check.code,
                "detail": failure.finding.detail,
                "explanation": failure.check.explanation,
                "transcript": failure.transcript.to_json(),
            }
            for failure in report.failures
        ],
    }


def _transcript(check: Check, folder: Path) -> Path:
    return folder / f"{check.code}.json"


def save(failures: Iterable[Failure], folder: Path) -> list[Path]:
    """Store the transcript of each failure, and return where."""
    found = []
    for failure in failures:
        path = _transcript(failure.check, folder)
        failure.transcript.save(path)
        found.append(path)
    return found


_TEST: Final = '''"""Written by `protocol fuzz`: programs that once failed a check."""

import json

import pytest
{imports}
from protocol.fuzzing import {names}
from protocol.testing.transcript import Transcript

{constants}TRANSCRIPTS = {transcripts}


@pytest.mark.parametrize("text", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_what_the_fuzzer_found_stays_mended(text: str) -> None:
    verify({arguments})
'''


def write_test(
    report: Report,
    path: Path,
    *,
    login: str | None = None,
    opening: str | None = None,
    document: Mapping[str, Any] | None = None,
    rooms: RoomRules | None = None,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> None:
    """Write a file for pytest that plays what failed against ``MODULE:FACTORY``, and holds it to the same checks.

    ``login``: the ``MODULE:FUNC`` that says who a client is. ``opening``: that which says what it sends first, where
    there is one; any other opening is in the transcripts. The rest is as for :func:`protocol.fuzzing.verify`.
    """
    hooks = {name: place for name, place in (("login", login), ("opening", opening)) if place is not None}
    factory, *functions = (place.partition(":")[::2] for place in (report.target, *hooks.values()))
    arguments = [
        factory[1],
        "Transcript.from_json(json.loads(text))",
        *(f"{name}={function}" for name, (_, function) in zip(hooks, functions, strict=True)),
    ]
    if document is not None:
        arguments.append("document=DOCUMENT")
    if rooms is not None:
        joins, leaves = (f"frozenset({sorted(tags)!r})" for tags in (rooms.joins, rooms.leaves))
        more = f", patterns={rooms.patterns!r}" if rooms.patterns else ""
        more += f", public=frozenset({sorted(rooms.public)!r})" if rooms.public else ""
        arguments.append(f"rooms=RoomRules({rooms.member!r}, {joins}, {leaves}{more})")
    if only is not None:
        arguments.append(f"only={sorted(only)!r}")
    if without:
        arguments.append(f"without={sorted(without)!r}")
    lines = [
        f"    {failure.check.code!r}: {json.dumps(failure.transcript.to_json())!r},\n"
        for failure in report.failures
    ]
    write(
        path,
        _TEST.format(
            imports="".join(f"from {module} import {name}\n" for module, name in (factory, *functions)),
            names="verify" if rooms is None else "RoomRules, verify",
            constants="" if document is None else f"DOCUMENT = json.loads({json.dumps(document)!r})\n",
            arguments=", ".join(arguments),
            transcripts="{\n" + "".join(lines) + "}",
        ),
    )
