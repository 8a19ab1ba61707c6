"""Some of the planted bugs, and their twins, behind a real socket: plain servers, and rooms in paths."""

import json

import pytest

from protocol.asyncapi import document
from protocol.asyncapi.served import sockets
from protocol.fuzzing.arena import RemoteArena
from protocol.fuzzing.checks import CHECKS
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Failure, Fuzzer
from protocol.fuzzing.program import programs
from tests.fuzz.serving import serving
from tests.fuzz.table import planted

SAMPLE = ["double_reply", "heard_next_door", "reference_of_before", "undeclared_close", "undeclared_reply"]


def hunt(name: str, *, bug: bool, max_examples: int) -> Failure | None:
    module = planted(name)
    app = module.create_app(bug)
    written = getattr(module, "DOCUMENT", None) or document(app, next(sockets(app)).protocol)  # type: ignore[arg-type]
    contract = Contract.of_document(json.loads(json.dumps(written)))
    with serving(app) as address:
        arena = RemoteArena(f"ws://{address}{contract.path}", contract)
        try:
            strategy = programs(contract, steps=arena.moves)
            return Fuzzer(arena, CHECKS).explore(strategy, seed=1, database=None, max_examples=max_examples)
        finally:
            arena.close()


@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_bug_is_found_over_a_socket(name: str) -> None:
    failure = hunt(name, bug=True, max_examples=500)
    assert failure is not None
    assert len(failure.transcript.exchanges) <= 6


@pytest.mark.parametrize("name", SAMPLE)
def test_a_correct_twin_gives_no_alarm_over_a_socket(name: str) -> None:
    failure = hunt(name, bug=False, max_examples=20)
    assert failure is None, str(failure)
