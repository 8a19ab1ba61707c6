"""The fuzzer over several simulated nodes: what it plays, what it finds, and that a finding can be played again."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from hypothesis import given

from protocol.cli.main import main
from protocol.fuzzing import Contract, fuzz_test
from protocol.fuzzing.checks import selected
from protocol.fuzzing.fuzzer import Fuzzer
from protocol.fuzzing.program import Program, programs
from protocol.fuzzing.simulated import local
from protocol.testing import replay
from protocol.testing.comparison import first_difference
from protocol.testing.steps import Burst, Close, Connect, Fault, Seed, Send, Vanish, Wait
from protocol.testing.transcript import Transcript
from tests.fuzz.chat import create_app, login
from tests.fuzz.planted import counted_on_each_node, lost_in_an_outage
from tests.fuzz.shortest import program_of
from tests.fuzz.table import contract_of
from tests.profiles import examples
from tests.simulation.chat import create_app as create_simulated_chat

test_the_chat_keeps_its_promises_on_three_nodes = fuzz_test(
    create_app, clients=3, nodes=3, login=login, max_examples=30
)

test_the_chat_keeps_its_promises_on_three_nodes_for_long = pytest.mark.long(
    fuzz_test(create_app, clients=3, nodes=3, login=login, max_examples=5_000)
)


@pytest.mark.parametrize("module", [counted_on_each_node, lost_in_an_outage])
def test_what_is_found_on_three_nodes_replays_to_the_letter(module: ModuleType) -> None:
    def create() -> object:
        return module.create_app(True)

    arena = local(create, contract_of(module, bug=True), nodes=3)
    failure = Fuzzer(arena, selected()).check(program_of(module).steps)
    assert failure is not None
    written = Transcript.from_json(json.loads(json.dumps(failure.transcript.to_json())))
    assert (written.nodes, len(written.exchanges)) == (3, 4)
    assert first_difference(written, replay(written, create)) is None


def test_the_command_fuzzes_nodes_and_plays_again_what_it_has_found(tmp_path: Path) -> None:
    chat, found = "tests.fuzz.wrong_chat:create_app", str(tmp_path / "transparency.json")
    fuzz = ("fuzz", chat, "--nodes", "3", "--seed", "1", "--phase", "stateful", "--check", "transparency")
    run = CliRunner().invoke
    assert run(main, [*fuzz, "--failures", str(tmp_path), "--max-examples", "200"]).exit_code == 1
    again = run(main, ["replay", found, chat])
    assert (again.exit_code, again.output) == (0, "4 steps, no difference.\n")
    assert (
        "played on 3 simulated nodes: give MODULE:FACTORY." in run(main, ["replay", found, "ws://h"]).output
    )
    assert "--nodes needs MODULE:FACTORY" in run(main, ["fuzz", "ws://h", "--nodes", "3"]).output


CONTRACT = Contract.of(create_simulated_chat())


@examples(20)
@given(programs(CONTRACT, nodes=3))
def test_every_program_replays_to_the_letter(program: Program) -> None:
    run = local(create_simulated_chat, CONTRACT, nodes=3).play(program, len(program))
    played = Transcript(run.exchanges, barrier=CONTRACT.barrier, nodes=3, varying=frozenset())
    assert first_difference(played, replay(played, create_simulated_chat)) is None


JOIN = Send(0, '{"type":"join","room":"a","id":1}')
SAY = Send(0, '{"type":"message","room":"a","text":"hi","id":2}')


@pytest.mark.parametrize(
    "program",
    [
        (Connect(0), JOIN, Fault("crash", 0)),
        (Connect(0), JOIN, Fault("crash", 0, after=0.002), SAY),
        (Connect(0), Fault("crash", 0, after=0.002), Close(0)),
        (Fault("crash", 0, after=0.002), Connect(0), JOIN),
        (Connect(0), JOIN, Fault("suspend", 0), SAY),
        (Connect(0), JOIN, Fault("suspend", 0, after=0.002), SAY, Wait(60.0), Fault("resume", 0), SAY),
        (Connect(0), JOIN, Fault("isolate", 0), SAY, Close(0)),
        (Fault("isolate", 0), Connect(0), JOIN, SAY),
        (Connect(0), JOIN, Fault("isolate", 0, after=0.006), SAY, Fault("rejoin", 0), SAY),
        (Connect(0), JOIN, Fault("skew", 0, 0.25), Wait(60.0), SAY, Connect(1), Vanish(0)),
    ],
)
def test_a_fault_excuses_what_it_keeps_a_node_from(program: Program) -> None:
    arena = local(create_simulated_chat, CONTRACT, nodes=3)
    failure = Fuzzer(arena, selected()).check(program)
    assert failure is None, str(failure)


def test_who_leaves_before_its_own_message_is_back_makes_no_difference() -> None:
    leave = Send(0, '{"type":"leave","room":"a","id":3}')
    arena = local(create_simulated_chat, CONTRACT, nodes=3)
    for seed in range(10):
        program = (Seed(seed), Connect(1), Connect(0), JOIN, Burst((SAY, leave)))
        failure = Fuzzer(arena, selected()).check(program)
        assert failure is None, str(failure)


@pytest.mark.parametrize("nodes", [1, 3])
def test_who_leaves_together_need_not_hear_of_each_other(nodes: int) -> None:
    leaves = tuple(Send(client, '{"type":"leave","room":"a","id":3}') for client in (0, 1))
    join = Send(1, '{"type":"join","room":"a","id":2}')
    arena = local(create_simulated_chat, CONTRACT, nodes=nodes)
    failure = Fuzzer(arena, selected()).check((Connect(0), JOIN, Connect(1), join, Burst(leaves)))
    assert failure is None, str(failure)
