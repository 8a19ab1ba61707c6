"""What a check is. Each one has a module of its kin beside this one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from protocol.fuzzing.arena import Arena
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.run import Run


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and the number of the exchange where it showed."""

    at: int
    detail: str


def _nothing(contract: Contract, arena: Arena) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that holds for every program.

    ``find`` returns the first thing that does not, or ``None``. ``explanation`` says to the author of the server what
    is promised and why it matters. ``lacks`` says what is missing in a contract, or where it is played, without which
    nothing can be found; an empty text where nothing is missing.
    """

    code: str
    explanation: str
    find: Callable[[Run], Finding | None]
    lacks: Callable[[Contract, Arena], str] = _nothing


class CheckFailed(AssertionError):
    """A check has failed; each check has its own subclass, so that one is not shrunk into another."""


@cache
def failure_of(code: str) -> type[CheckFailed]:
    """The exception of the check ``code``."""
    return type(f"{code.title().replace('_', '')}Failed", (CheckFailed,), {"__module__": __name__})
