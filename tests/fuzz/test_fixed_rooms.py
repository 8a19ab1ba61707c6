"""Rooms of which there is no other of the kind keep their names, also where a transcript is played again."""

import asyncio
import json

from protocol import Connection, Message, MessageProtocol
from protocol.fuzzing import Check, Contract, Finding, Run
from protocol.fuzzing.arena import LocalArena, fixed_rooms
from protocol.fuzzing.fuzzer import Fuzzer
from protocol.fuzzing.program import Program
from protocol.testing.replay import difference
from protocol.testing.steps import Connect, Send
from protocol.testing.transcript import Transcript
from tests.fuzz.serving import serving
from tests.served import served


class Join(Message, type="join"):
    room: str


hall = MessageProtocol("Hall")


@hall.room("lobby")
async def everybody(connection: Connection) -> None: ...


@hall.room("team-{name}-staff")
async def staff(connection: Connection, name: str) -> None: ...


@hall.room("club-{name}")
async def club(connection: Connection, name: str) -> None: ...


@hall.on(Join)
async def join(message: Join, connection: Connection) -> None:
    await connection.join(message.room)


ROOMS = ("lobby", "team-a-staff", "club-a", "nowhere")
PROGRAM: Program = (
    Connect(0),
    *(
        Send(0, json.dumps({"type": "join", "room": room, "id": number}))
        for number, room in enumerate(ROOMS, 1)
    ),
)


def test_a_name_stays_where_no_room_is_called_so_with_something_behind_it() -> None:
    contract = Contract.of(served(hall))
    assert fixed_rooms(contract, PROGRAM) == {"lobby", "team-a-staff"}
    assert fixed_rooms(contract, [Connect(0, room="lobby"), Send(0, '{"room":"lobby"')]) == {"lobby"}


def test_a_transcript_is_played_in_the_same_rooms_against_a_server() -> None:
    def find(run: Run) -> Finding | None:
        return Finding(0, "All have been entered.") if run.newcomers == len(PROGRAM) else None

    arena = LocalArena(lambda: served(hall), Contract.of(served(hall)))
    failure = Fuzzer(arena, [Check("wrong", "Nothing is right.", find)]).check(PROGRAM)
    assert failure is not None
    written = Transcript.from_json(json.loads(json.dumps(failure.transcript.to_json())))
    assert written.fixed == {"lobby", "team-a-staff"}
    with serving(served(hall)) as address:
        assert asyncio.run(difference(written, f"ws://{address}/ws", lambda client: {})) is None
