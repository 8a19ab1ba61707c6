"""What holds for every program, whatever the clients do."""

from collections.abc import Collection, Iterable
from typing import Final

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks.base import Check, CheckFailed, Finding, failure_of
from protocol.fuzzing.checks.connections import liveness, server_error, undeclared_close
from protocol.fuzzing.checks.history import recovery
from protocol.fuzzing.checks.messages import (
    message_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    request_reply,
)
from protocol.fuzzing.checks.newcomers import clean_room, visits
from protocol.fuzzing.checks.nodes import transparency
from protocol.fuzzing.checks.rooms import isolation, order
from protocol.fuzzing.checks.state import no_growth, serialisability

# The plainest first: a crash is a crash, whatever else it breaks.
CHECKS: Final[tuple[Check, ...]] = (
    server_error,
    liveness,
    undeclared_close,
    message_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    request_reply,
    order,
    recovery,
    isolation,
    clean_room,
    serialisability,
    transparency,
    no_growth,
)

__all__ = ["CHECKS", "Check", "CheckFailed", "Finding", "applicable", "failure_of", "selected", "visits"]


def selected(
    *, only: Iterable[str] | None = None, without: Collection[str] = (), more: Iterable[Check] = ()
) -> tuple[Check, ...]:
    """The checks with the codes ``only``, or all; but those in ``without``, and ``more``.

    Raises ``ConfigurationError`` for a code that there is not.
    """
    found = {check.code: check for check in (*CHECKS, *more)}
    for code in (*(only or ()), *without):
        if code not in found:
            raise ConfigurationError(f"There is no check {code!r}; there are {', '.join(found)}.")
    return tuple(
        check for code, check in found.items() if code not in without and (only is None or code in set(only))
    )


def applicable(checks: Iterable[Check], arena: Arena) -> tuple[tuple[Check, ...], dict[str, str]]:
    """Those of ``checks`` that may find something in ``arena``, and why the others cannot, by their codes.

    Raises ``ConfigurationError`` where none of them can.
    """
    checks = tuple(checks)
    lacking = {check.code: why for check in checks if (why := check.lacks(arena.contract, arena))}
    if checks and len(lacking) == len(checks):
        reasons = "; ".join(f"{code} lacks {why}" for code, why in lacking.items())
        raise ConfigurationError(f"Nothing would be checked: {reasons}.")
    return tuple(check for check in checks if check.code not in lacking), lacking
