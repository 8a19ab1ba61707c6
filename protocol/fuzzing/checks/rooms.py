"""Checks between connections: who hears what, and in which order."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.jsonschema import alternatives
from protocol.fuzzing.rooms import RoomRules
from protocol.fuzzing.run import Received, Run, Sent, Talk
from protocol.testing.steps import shortened

# Isolation.


def _isolation(run: Run) -> Finding | None:
    rules = run.contract.room
    if rules is None:
        return None
    presence = {id(talk): _Presence(run.contract, rules, talk) for talk in run.talks}
    for talk in run.talks:
        for frame in talk.received:
            room = room_of(rules, frame)
            if room is None or frame.tag in rules.public or _is_answer(run.contract, frame):
                continue
            if not presence[id(talk)].may_hear(room, frame):
                for_all = "" if frame.tag is None else f" (is that for everybody? --public {frame.tag})"
                return Finding(
                    frame.at, f"{talk.client} is not in {room!r}, and got {shortened(frame.data)}{for_all}"
                )
            # What a fault has held up comes while somebody else speaks.
            if not run.faults and (sender := _outsider(run, presence, room, frame, talk)):
                return Finding(
                    frame.at, f"{sender} is not in {room!r}, and what it sent reached {talk.client} there."
                )
    return None


def _lacks_rooms(contract: Contract, arena: Arena) -> str:
    rules = contract.room
    if rules is None:
        return "rooms (--room, or rooms=)"
    names = any(
        rules.member in one.get("properties", {})
        for schema in contract.sends.values()
        for one in alternatives(schema, schema)
    )
    return "" if names else f"a message of the server that names its room by {rules.member!r}"


def room_of(rules: RoomRules, frame: Received) -> str | None:
    """The room that a frame of the server names."""
    room = None if frame.body is None else frame.body.get(rules.member)
    return room if isinstance(room, str) else None


def _is_answer(contract: Contract, frame: Received) -> bool:
    return frame.ref is not None or frame.tag == contract.error


class _Presence:
    """In which rooms a connection may be, as far as it can know."""

    def __init__(self, contract: Contract, rules: RoomRules, talk: Talk) -> None:
        self._contract = contract
        self._rules = rules
        self._talk = talk
        self._at: defaultdict[int, list[Sent]] = defaultdict(list)
        for sent in talk.sent:
            if sent.tag is not None:
                self._at[sent.at].append(sent)
        self._received: defaultdict[int, list[Received]] = defaultdict(list)
        for frame in talk.received:
            self._received[frame.at].append(frame)
        self._timeline: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for at, sents in self._at.items():
            self._note(at, sents)

    def inside(self, room: str, at: int) -> bool:
        """Whether the connection may be in the room at the beginning of the exchange, or joins in it."""
        # A path may enter the room by itself, whose name may say more than the parameter does.
        found = any(is_part(value, room) for value in self._talk.parameters.values())
        for when, inside in self._timeline.get(room, ()):
            if when < at:
                found = inside
        return found or any(self._joins(sent, room) for sent in self._at.get(at, ()))

    def may_hear(self, room: str, frame: Received) -> bool:
        """Whether a frame of the room may come. A paused connection gets late what it was entitled to."""
        if self._talk.paused or self.inside(room, frame.at):
            return True
        # An answer to a message without id has no ref.
        return any(
            frame.tag in self._contract.answers.get(sent.tag or "", ())
            and named_room(self._rules, sent) == room
            for sent in self._talk.sent
            if sent.at <= frame.at
        )

    def _joins(self, sent: Sent, room: str) -> bool:
        return sent.tag in self._rules.joins and named_room(self._rules, sent) == room

    def _note(self, at: int, sents: list[Sent]) -> None:
        refused = {frame.ref for frame in self._received[at] if frame.tag == self._contract.error}
        for sent in sents:
            room = named_room(self._rules, sent)
            if room is None or (sent.id is not None and sent.id in refused):
                continue
            if sent.tag in self._rules.joins:
                self._timeline[room].append((at, True))
            elif sent.tag in self._rules.leaves and len(sents) == 1 and None not in refused:
                self._timeline[room].append((at, False))


def named_room(rules: RoomRules, sent: Sent) -> str | None:
    """The room that a frame of a client names."""
    room = None if sent.body is None else sent.body.get(rules.member)
    return room if isinstance(room, str) else None


def _outsider(
    run: Run, presence: dict[int, _Presence], room: str, frame: Received, receiver: Talk
) -> str | None:
    """Who is in no position to say what another has got."""
    rules = run.contract.room
    assert rules is not None
    senders = [talk for talk in run.talks if any(s.at == frame.at and s.tag is not None for s in talk.sent)]
    if len(senders) != 1 or senders[0] is receiver or presence[id(senders[0])].inside(room, frame.at):
        return None
    for sent in senders[0].sent:
        if (
            sent.at == frame.at
            and named_room(rules, sent) == room
            and sent.tag not in rules.joins | rules.leaves
        ):
            said = set(texts(sent.body)) - {room, sent.tag}
            if said & set(texts(frame.body)):
                return str(senders[0].client)
    return None


def is_part(value: str, name: str) -> bool:
    """Whether ``value`` stands in the name of a room, and not in the midst of a word or a number of it."""
    return any(
        not (_in_one(name[: found.start()][-1:], value[:1]) or _in_one(value[-1:], name[found.end() :][:1]))
        for found in re.finditer(re.escape(value), name)
    )


def _in_one(one: str, other: str) -> bool:
    return (one.isalpha() and other.isalpha()) or (one.isdigit() and other.isdigit())


def texts(value: Any) -> Iterator[str]:
    """All texts that a message says."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


# Order.


def _order(run: Run) -> Finding | None:
    for talk in run.talks:
        if finding := _answers_in_order(run.contract, talk) or _offsets_in_order(run.contract, talk):
            return finding
    return _texts_in_order(run)


def _answers_in_order(contract: Contract, talk: Talk) -> Finding | None:
    ids = Counter(sent.id for sent in talk.sent if sent.id is not None)
    place = {
        sent.id: number
        for number, sent in enumerate(talk.sent)
        if sent.id is not None
        and ids[sent.id] == 1
        and sent.tag is not None
        and sent.tag not in contract.unordered
    }
    last = -1
    for frame in talk.received:
        if frame.ref not in place or (frame.body or {}).get("code") == "cancelled":
            continue
        if place[frame.ref] < last:
            return Finding(
                frame.at,
                f"An answer overtook another on the connection of {talk.client}: {shortened(frame.data)}",
            )
        last = place[frame.ref]
    return None


def _offsets_in_order(contract: Contract, talk: Talk) -> Finding | None:
    """Offsets rise within a room, from one join to the next."""
    rules = contract.room
    if rules is None or contract.offset is None:
        return None
    joined = [(sent.at, named_room(rules, sent)) for sent in talk.sent if sent.tag in rules.joins]
    entered = frozenset(tag for join in rules.joins for tag in contract.answers.get(join, ()))
    last: dict[tuple[str, int], int] = {}
    for frame in talk.received:
        room = room_of(rules, frame)
        offset = None if frame.body is None else frame.body.get(contract.offset)
        if room is None or _is_answer(contract, frame) or frame.tag in entered or not isinstance(offset, int):
            continue
        segment = sum(1 for at, name in joined if name == room and at <= frame.at)
        if last.get((room, segment), -1) >= offset:
            return Finding(frame.at, f"The offset went back at {talk.client}: {shortened(frame.data)}")
        last[room, segment] = offset
    return None


def _texts_in_order(run: Run) -> Finding | None:
    """What one connection says is heard in the order in which it was said."""
    contract = run.contract
    uses = Counter(
        (name, value)
        for talk in run.talks
        for sent in talk.sent
        for name, value in (sent.body or {}).items()
        if isinstance(value, str)
    )
    rules = contract.room
    for speaker in run.talks:
        places: dict[tuple[str, str, str | None], _Place] = {}
        for number, sent in enumerate(speaker.sent):
            if sent.tag is None or sent.tag in contract.unordered or sent.body is None:
                continue
            room = None if rules is None else named_room(rules, sent)
            for name, value in sent.body.items():
                if isinstance(value, str) and uses[name, value] == 1:
                    places[name, value, room] = (number, sent.at)
        if len(places) < 2:
            continue
        for hearer in run.talks:
            if finding := _heard_in_order(contract, speaker, hearer, places):
                return finding
    return None


_Place = tuple[int, int]
"""The number of a message among those of its connection, and that of its exchange."""


def _heard_in_order(
    contract: Contract, speaker: Talk, hearer: Talk, places: dict[tuple[str, str, str | None], _Place]
) -> Finding | None:
    rules = contract.room
    joins = [] if rules is None else [sent.at for sent in hearer.sent if sent.tag in rules.joins]
    streams: defaultdict[tuple[Any, ...], list[tuple[_Place, Received]]] = defaultdict(list)
    for frame in hearer.received:
        if frame.body is None or _is_answer(contract, frame):
            continue
        room = None if rules is None else room_of(rules, frame)
        segment = sum(1 for at in joins if at <= frame.at)
        for name, value in frame.body.items():
            if isinstance(value, str) and (place := places.get((name, value, room))) is not None:
                streams[frame.tag, name, room, segment].append((place, frame))
    for heard in streams.values():
        # What comes more than once, or before it was said, may be what the server has made of something else.
        times = Counter(place for place, _ in heard)
        unclear = {place for place, frame in heard if times[place] > 1 or frame.at < place[1]}
        clear = [(place, frame) for place, frame in heard if place not in unclear]
        for (before, _), (place, frame) in pairwise(clear):
            if place < before:
                return Finding(
                    frame.at,
                    f"{hearer.client} heard what {speaker.client} said in another order: {shortened(frame.data)}",
                )
    return None


isolation = Check(
    "isolation",
    "Nothing of a room reaches a connection that has not joined it, or has left it, and nothing that such a "
    "connection says reaches the room.",
    _isolation,
    _lacks_rooms,
)
order = Check(
    "order",
    "Messages of one connection are answered in the order in which they were sent, and what one connection says is "
    "heard by everybody in that order; offsets of a room rise.",
    _order,
)
