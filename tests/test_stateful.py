"""Any sequence of valid and broken frames from three clients, against a model of who is where."""

import asyncio
from collections import Counter
from typing import Any, NamedTuple

from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import Connection, History, Message, MessageProtocol, Room, User
from protocol.testing import Client, run, settle
from tests.profiles import examples
from tests.served import served

ROOMS = ("plain-a", "kept-a")
USERS = ("ann", "ann", "bob")  # two tabs of one user


class Join(Message, type="join"):
    room: str


class Leave(Message, type="leave"):
    room: str


class Say(Message, type="say"):
    room: str
    text: str


class Wait(Message, type="wait"):
    seconds: int
    fail: bool = False


class Beside(Message, type="beside"):
    seconds: int


class Came(Message, type="came"):
    room: str
    user: str


class Left(Message, type="left"):
    room: str
    user: str


def declared() -> MessageProtocol:
    chat = MessageProtocol("Stateful", sends=(Say, Came, Left))

    @chat.room("plain-{name}")
    async def plain(connection: Connection, name: str) -> None: ...

    @chat.room("kept-{name}", history=History())
    async def kept(connection: Connection, name: str) -> None: ...

    @chat.on_join
    async def came(user: User, room: Room) -> Came:
        return Came(room=room.name, user=user.id)

    @chat.on_leave
    async def left(user: User, room: Room) -> Left:
        return Left(room=room.name, user=user.id)

    @chat.on(Join)
    async def join(message: Join, connection: Connection) -> None:
        await connection.join(message.room)

    @chat.on(Leave)
    async def leave(message: Leave, connection: Connection) -> None:
        await connection.leave(message.room)

    @chat.on(Say)
    async def say(message: Say, room: Room) -> None:
        await room.publish(message)

    @chat.on(Wait)
    async def wait(message: Wait) -> None:
        await asyncio.sleep(message.seconds)
        if message.fail:
            raise TimeoutError

    @chat.on(Beside, concurrent=True)
    async def beside(message: Beside) -> None:
        await asyncio.sleep(message.seconds)

    return chat


CHAT = declared()


class Step(NamedTuple):
    """One thing that one client does."""

    client: int
    do: str
    room: str = ROOMS[0]
    number: int = 0


CLIENTS = st.integers(0, 2)
STEPS = st.one_of(
    st.builds(Step, CLIENTS, st.sampled_from(["join", "leave", "say"]), st.sampled_from(ROOMS)),
    st.builds(
        Step,
        CLIENTS,
        st.sampled_from(
            ["wait", "fail", "beside", "cancel", "broken", "invalid", "reconnect", "drop", "settle", "sleep"]
        ),
        number=st.integers(0, 3),
    ),
)
BROKEN = (b"\x00", "[]", "{", '{"type":"what"}')


class Peer:
    """A client, and what it has asked for."""

    def __init__(self, app: FastAPI, user: str) -> None:
        self.app = app
        self.user = user
        self.client = Client(app, user=user)
        self.ids: list[str] = []
        self.cancelled: set[str] = set()
        self.beside: set[str] = set()
        self.inside: set[str] = set()
        self.unsure: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    async def do(self, step: Step) -> None:
        id = f"{step.do}-{len(self.ids)}"
        client = self.client
        match step.do:
            case "join" | "leave":
                await client.send({"type": step.do, "room": step.room}, id=id)
            case "say":
                await client.send({"type": "say", "room": step.room, "text": id}, id=id)
            case "wait" | "fail":
                await client.send(Wait(seconds=step.number, fail=step.do == "fail"), id=id)
            case "beside":
                await client.send(Beside(seconds=step.number), id=id)
                self.beside.add(id)
            case "cancel":
                await client.send(
                    {
                        "type": "cancel",
                        "ref": self.ids[-step.number - 1] if step.number < len(self.ids) else "x",
                    },
                    id=id,
                )
                self.beside.add(id)
            case "invalid":
                await client.send({"type": "wait", "seconds": "x"}, id=id)
            case "broken":
                await client.send(BROKEN[step.number])
                return
        self.ids.append(id)

    def check(self) -> None:
        """Each id has one final answer, and those of messages in turn are in order."""
        answers = [frame for frame in self.client.frames if "ref" in frame]
        refs = [frame["ref"] for frame in answers]
        assert sorted(refs) == sorted(self.ids)
        early = {frame["ref"] for frame in answers if frame.get("code") == "cancelled"} | self.beside
        in_turn = [ref for ref in refs if ref not in early]
        assert in_turn == [id for id in self.ids if id not in early]
        for frame in answers:
            if frame["ref"].startswith("invalid"):
                assert frame["code"] in {"invalid_message", "cancelled"}
        self.inside = self._rooms(answers)
        self._check_offsets()

    def _rooms(self, answers: list[dict[str, Any]]) -> set[str]:
        """The rooms that it is in, by the answers: a cancelled join has no effect, and of a leave none is known."""
        inside: set[str] = set()
        done = {frame["ref"]: frame for frame in answers}
        for id, room in self.asked:
            outcome = done[id].get("code", done[id]["type"])
            if id.startswith(("leave", "say")) and outcome != "cancelled":
                if room in self.unsure:
                    self.unsure.discard(room)
                    inside |= {room} if outcome == "ack" else set()
                assert outcome == ("ack" if room in inside else "not_a_member")
            if id.startswith("join") and outcome == "ack":
                inside.add(room)
                self.unsure.discard(room)
            elif id.startswith("leave") and room in inside:
                inside.discard(room)
                if outcome == "cancelled":
                    self.unsure.add(room)
        return inside

    def _check_offsets(self) -> None:
        offsets = [
            frame["offset"] for frame in self.client.frames if frame["type"] == "say" and "offset" in frame
        ]
        assert offsets == sorted(set(offsets))


async def play(steps: list[Step]) -> None:
    app = served(CHAT)
    peers = [Peer(app, user) for user in USERS]
    for peer in peers:
        await peer.client.connect()
    node = CHAT.at(app)
    for step in steps:
        peer = peers[step.client]
        if step.do == "settle":
            await settle()
        elif step.do == "sleep":
            await asyncio.sleep(step.number)
        elif step.do in {"reconnect", "drop"}:
            if step.do == "drop":
                peer.client.drop()
            await peer.client.close()
            fresh = peers[step.client] = Peer(app, peer.user)
            await fresh.client.connect()
        else:
            before = len(peer.ids)
            await peer.do(step)
            if len(peer.ids) > before:
                peer.asked.append((peer.ids[-1], step.room))
    await asyncio.sleep(4 * len(steps) + 1)
    await settle()
    for peer in peers:
        peer.check()
    for room in ROOMS:
        local = node.hub.fanout.rooms.get(room)
        here = Counter() if local is None else Counter(one.user.id for one in (*local.live, *local.joining))
        for peer in peers:
            sure = sum(room in other.inside for other in peers if other.user == peer.user)
            if room in peer.unsure and sure < here[peer.user]:
                peer.inside.add(room)
        assert here == Counter(peer.user for peer in peers if room in peer.inside)
        members = await node.presence.members(room)
        assert {member.user for member in members.users} == set(here)
    for peer in peers:
        await peer.client.close()
    assert len(node.hub.fanout) == len(node.presence) == node._budget.used == 0  # type: ignore[arg-type]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await node.close()


@examples(60)
@example([*[Step(0, "join")] * 3, *(Step(1, do, ROOMS[1]) for do in ("join", "leave")), Step(1, "cancel")])
@given(st.lists(STEPS, max_size=25))
def test_answers_order_and_membership_hold_for_any_program(steps: list[Step]) -> None:
    run(play(steps))
