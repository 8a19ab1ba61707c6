"""What the fuzzer plays, and how often."""

from fastapi import FastAPI

from protocol.fuzzing.arena import LocalArena
from protocol.fuzzing.checks import CHECKS
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Fuzzer
from protocol.testing.steps import Close, Connect, Send
from tests.fuzz import wrong_chat
from tests.fuzz.table import planted

VISIT = (Connect(0), Send(0, '{"type":"join","room":"a","id":1}'), Close(0))


def test_a_program_that_has_passed_is_not_played_again() -> None:
    made: list[FastAPI] = []

    def create_app() -> FastAPI:
        made.append(wrong_chat.create_app())
        return made[-1]

    fuzzer = Fuzzer(LocalArena(create_app, Contract.of(wrong_chat.create_app())), CHECKS)
    fuzzer.run(VISIT)
    played = len(made)
    fuzzer.run(VISIT)
    assert (len(made), fuzzer.coverage.programs) == (played, 1)


def test_what_is_left_behind_once_is_no_growth() -> None:
    arena = LocalArena(wrong_chat.create_app, Contract.of(wrong_chat.create_app()))
    assert arena.play(VISIT, len(VISIT)).growth == {}


def test_what_is_left_behind_each_time_is_counted_after_each_round() -> None:
    arena = LocalArena(wrong_chat.haunted, Contract.of(wrong_chat.haunted()))
    growth = arena.play(VISIT, len(VISIT)).growth
    assert growth["create_app.<locals>.join: ghosts"] == (2, 3, 4, 5)


def test_tasks_that_are_left_behind_are_counted() -> None:
    module = planted("ticker_left_behind")
    arena = LocalArena(lambda: module.create_app(True), Contract.of(module.create_app(True)))
    steps = (Connect(0), Close(0))
    assert arena.play(steps, len(steps)).growth == {"The number of tasks": (2, 3, 4, 5)}
