"""What programs are made of."""

from collections.abc import Callable
from itertools import pairwise

from hypothesis import HealthCheck, Phase, find, given, settings

from protocol.fuzzing.contract import Contract
from protocol.fuzzing.program import Program, connected, programs
from protocol.testing.steps import Burst, Close, Connect, Drop, Send, Step, sends_of
from tests.fuzz.chat import create_app

CHAT = Contract.of(create_app())
PROGRAMS = programs(CHAT)


def there_is(condition: Callable[[Program], bool]) -> Program:
    patient = settings(
        max_examples=2_000, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    return find(PROGRAMS, condition, settings=patient)


def test_a_client_comes_back_to_where_it_was() -> None:
    def returns(program: Program) -> bool:
        gone = {step.client for step in program if isinstance(step, Close | Drop)}
        ways = [[one.at for one in send.refers] for step in program for send in sends_of(step)]
        return bool(gone) and [("since", "offset"), ("since", "epoch")] in ways

    assert there_is(returns)


def test_clients_meet_in_the_room_of_a_path() -> None:
    def meets(program: Program) -> bool:
        rooms = {step.room for step in program if isinstance(step, Connect)} - {None}
        return any(
            isinstance(step, Send) and f'"room":"{room}"' in str(step.data)
            for step in program
            for room in rooms
        )

    assert there_is(meets)


def test_a_client_says_the_same_twice() -> None:
    def repeats(program: Program) -> bool:
        pairs = pairwise(program)
        return any(isinstance(one, Send) and one == other for one, other in pairs)

    assert there_is(repeats)


@given(PROGRAMS)
def test_what_is_said_at_once_refers_to_nothing(program: Program) -> None:
    for step in program:
        assert not (isinstance(step, Burst) and any(send.refers for send in step.sends))


@given(PROGRAMS)
def test_every_step_has_an_effect(program: Program) -> None:
    assert connected(program) == program


def test_who_is_not_there_connects_first() -> None:
    steps: list[Step] = [Drop(0), Send(0, "{}"), Connect(0), Connect(0, "/ws/a"), Close(0), Close(0)]
    assert connected(steps) == (Connect(0), Send(0, "{}"), Close(0))
