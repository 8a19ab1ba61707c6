"""The fuzzer in a suite of tests: a test that plays programs, and one that plays what was found again."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from starlette.applications import Starlette

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.arena import Login
from protocol.fuzzing.checks import Check, applicable, failure_of, selected
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.fuzzer import Fuzzer
from protocol.fuzzing.overrides import Override
from protocol.fuzzing.program import MOVES, connected, programs
from protocol.fuzzing.rooms import RoomRules
from protocol.fuzzing.simulated import local
from protocol.testing.steps import Opening
from protocol.testing.transcript import Transcript


def fuzz_test(
    create_app: Callable[[], Any],
    *,
    clients: int = 3,
    nodes: int = 0,
    document: Mapping[str, Any] | None = None,
    login: Login | None = None,
    opening: Opening | None = None,
    rooms: RoomRules | None = None,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    checks: Iterable[Check] = (),
    overrides: dict[Any, Override] | None = None,
    moves: int = MOVES,
    max_examples: int | None = None,
) -> Callable[[], None]:
    """A test that fuzzes the protocol of an application, for pytest::

        test_chat = fuzz_test(create_app, clients=3)

    ``create_app`` makes a fresh application for each example. ``document`` is needed where that serves no protocol
    of this framework. ``nodes``: play on so many nodes of a :class:`protocol.testing.Simulation`, whose faults are
    then steps of the programs. ``login`` says who a client is, by its number, and ``opening`` what it sends first, where
    the application waits for that: a message, or a function of the number. ``rooms``: how messages speak of rooms,
    where that is not recognised. ``only``, ``without`` and ``checks`` choose, switch off and add checks; ``overrides``
    are those of :func:`protocol.fuzzing.messages`. Hypothesis' profile says how many examples there are, unless
    ``max_examples`` does.

    It fails with the shortest transcript that could be found, and raises ``ConfigurationError`` if the application
    has served no client, or none of the checks could find anything.
    """
    _check_factory(create_app)
    chosen = selected(only=only, without=without, more=checks)
    made_by = create_app if hasattr(create_app, "__qualname__") else type(create_app)
    target = (
        f"{made_by.__module__}.{made_by.__qualname__} {clients} {nodes} {[check.code for check in chosen]}"
    )

    def test() -> None:
        contract = _contract(create_app, document, rooms)
        measured = any(check.code == "no_growth" for check in chosen)
        arena = local(create_app, contract, nodes=nodes, login=login, opening=opening, measured=measured)
        fuzzer = Fuzzer(arena, applicable(chosen, arena)[0])
        options = {} if max_examples is None else {"max_examples": max_examples}
        strategy = programs(contract, clients=clients, moves=moves, overrides=overrides, nodes=nodes)
        failure = fuzzer.explore(strategy, target=target, **options)
        if failure is not None:
            raise failure_of(failure.check.code)(str(failure))
        fuzzer.coverage.require_entry()

    test.is_hypothesis_test = True  # type: ignore[attr-defined]
    return test


def verify(
    create_app: Callable[[], Any],
    transcript: Transcript,
    *,
    document: Mapping[str, Any] | None = None,
    login: Login | None = None,
    opening: Opening | None = None,
    rooms: RoomRules | None = None,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    checks: Iterable[Check] = (),
) -> None:
    """Play the steps of a transcript against a fresh application, and hold it to the checks.

    What came back then does not matter. The options are those of :func:`fuzz_test`; without ``opening`` everybody says
    what is said first in the transcript. Raises ``CheckFailed``.
    """
    _check_factory(create_app)
    chosen = selected(only=only, without=without, more=checks)
    contract = _contract(create_app, document, rooms)
    arena = local(
        create_app,
        contract,
        nodes=transcript.nodes,
        login=login,
        opening=opening,
    )
    failure = Fuzzer(arena, chosen).check(connected(transcript.steps))
    if failure is not None:
        raise failure_of(failure.check.code)(str(failure))


def _check_factory(create_app: object) -> None:
    if isinstance(create_app, Starlette) or not callable(create_app):
        raise ConfigurationError(
            f"The fuzzer takes a function that makes a fresh application for each program, not the {type(create_app).__name__} "
            "itself: fuzz_test(create_app)."
        )


def _contract(
    create_app: Callable[[], Any], document: Mapping[str, Any] | None, rooms: RoomRules | None
) -> Contract:
    contract = Contract.of(create_app()) if document is None else Contract.of_document(document)
    return contract if rooms is None else contract.with_rooms(rooms)
