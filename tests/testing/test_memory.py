"""Steps that refer to what was received."""

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol
from protocol.testing.clock import run
from protocol.testing.inprocess import InProcess
from protocol.testing.memory import Memory
from protocol.testing.player import play
from protocol.testing.steps import Burst, Close, Connect, Reference, Send, Step, Wait
from protocol.testing.transcript import Exchange, Transcript
from tests.served import served

OFFSET = Reference(("since", "offset"), "offset")
EPOCH = Reference(("since", "epoch"), "epoch")
JOIN = Send(0, '{"type":"join"}', (OFFSET, EPOCH))


def test_what_was_received_is_put_in() -> None:
    memory = Memory([JOIN])
    memory.note({0: ('{"type":"joined","offset":2,"epoch":"k3"}', '{"type":"message","offset":3}')})
    assert memory.resolved(JOIN) == Send(0, '{"type":"join","since":{"offset":3,"epoch":"k3"}}', JOIN.refers)
    assert memory.resolved(Burst((JOIN, Send(1, "{")))) == Burst((memory.resolved(JOIN), Send(1, "{")))  # type: ignore[arg-type]


def test_a_frame_stays_as_it_is_as_long_as_something_of_it_has_not_come() -> None:
    memory = Memory([JOIN])
    memory.note({0: ('{"offset":2}', "no json", b"", '{"epoch":null}', '{"epoch":true}')})
    assert memory.resolved(JOIN) == Send(0, JOIN.data)
    assert memory.resolved(Wait(1)) == Wait(1)
    assert memory.resolved(Send(0, "[", (OFFSET,))) == Send(0, "[")


def test_a_reference_counts_values_from_the_last() -> None:
    for back, expected in ((0, "b"), (1, "a"), (2, "c"), (9, "c")):
        to = Send(0, '{"to":"x"}', (Reference(("to",), "user", back),))
        memory = Memory([to])
        memory.note({0: ('{"members":[{"user":"a"},{"user":"c"}]}', '{"user":"a"}', '{"user":"b"}')})
        assert memory.resolved(to) == Send(0, f'{{"to":"{expected}"}}', to.refers)


def test_a_client_knows_from_others_only_what_it_has_not_received_itself() -> None:
    own, others = (Send(client, "{}", (Reference(("to",), "user"),)) for client in (0, 1))
    memory = Memory([own, others])
    memory.note({0: ('{"user":"a"}',)})
    memory.note({2: ('{"user":"b"}',)})
    assert memory.resolved(own) == Send(0, '{"to":"a"}', own.refers)
    assert memory.resolved(others) == Send(1, '{"to":"b"}', others.refers)


class Open(Message, type="open"):
    pass


class Opened(Message, type="opened"):
    token: str


class Resume(Message, type="resume"):
    token: str


def test_a_transcript_has_what_was_sent_and_is_played_with_what_comes_then() -> None:
    def create_app(token: str) -> FastAPI:
        protocol = MessageProtocol("Sessions")

        @protocol.on(Open, emits=Opened)
        async def open(message: Open, connection: Connection) -> Opened:
            return Opened(token=token)

        @protocol.on(Resume)
        async def resume(message: Resume, connection: Connection) -> None:
            assert message.token == token

        return served(protocol)

    async def played(app: FastAPI, transcript: Transcript) -> Transcript:
        return Transcript(await play(transcript.steps, InProcess(app, "/ws", lambda client: {})))

    resume = Send(0, '{"type":"resume","token":"?","id":2}', (Reference(("token",), "token"),))
    steps: tuple[Step, ...] = (Connect(0), Send(0, '{"type":"open","id":1}'), Close(0), Connect(0), resume)
    first = run(played(create_app("one"), Transcript(tuple(Exchange(step) for step in steps))))
    assert str(first).splitlines()[-2:] == [
        '  5  0 → {"type":"resume","token":"one","id":2} with token as received',
        '       0 ← {"type":"ack","ref":2}',
    ]
    again = run(played(create_app("other"), first))
    assert again.exchanges[-1].step == Send(0, '{"type":"resume","token":"other","id":2}', resume.refers)
    assert again.exchanges[-1].received == first.exchanges[-1].received
