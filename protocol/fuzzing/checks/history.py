"""The check of rooms with history: that nobody who goes on from a position misses anything."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.checks.rooms import named_room, room_of
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.rooms import RoomRules
from protocol.fuzzing.run import Received, Run, Sent, Talk

RECOVERED: Final = "recovered"
"""The member by which the answer to a join says that what was missed follows."""


@dataclass(slots=True)
class _Stream:
    """What is known of a room: which connection has published at each offset, and which may have without an answer.

    A connection is called by the number of the exchange in which it began.
    """

    publishers: dict[int, int | None] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)
    epochs: set[Any] = field(default_factory=set)

    def missing(self, connection: int, after: int, before: int) -> int | None:
        """An offset between the two that must have come: to who has said it, a message need not come back."""
        for offset, publisher in sorted(self.publishers.items()):
            own = connection in self.suspects if publisher is None else connection == publisher
            if after < offset < before and not own:
                return offset
        return None


def _recovery(run: Run) -> Finding | None:
    contract, rules = run.contract, run.contract.room
    if rules is None or contract.offset is None or not _can_recover(contract, rules):
        return None
    streams = _streams(run, rules, contract.offset)
    for talk in run.talks:
        for room, stream in streams.items():
            if len(stream.epochs) <= 1 and (finding := _hole(contract, rules, talk, room, stream)):
                return finding
    return None


def _lacks_history(contract: Contract, arena: Arena) -> str:
    if contract.room is None or contract.offset is None or not _can_recover(contract, contract.room):
        return f"rooms with history: offsets, and {RECOVERED!r} in the answer to a join"
    return ""


def _can_recover(contract: Contract, rules: RoomRules) -> bool:
    entered = {tag for join in rules.joins for tag in contract.answers.get(join, ())}
    return any(RECOVERED in contract.sends.get(tag, {}).get("properties", {}) for tag in entered)


def _streams(run: Run, rules: RoomRules, offset: str) -> dict[str, _Stream]:
    found: dict[str, _Stream] = {}
    for talk in run.talks:
        sents = {(type(sent.id), sent.id): sent for sent in talk.sent}
        for sent in talk.sent:
            room = named_room(rules, sent)
            if room is not None and sent.id is None and sent.tag not in rules.joins | rules.leaves:
                found.setdefault(room, _Stream()).suspects.add(talk.first)
        for frame in talk.received:
            body = frame.body or {}
            answered = None if frame.ref is None else sents.get((type(frame.ref), frame.ref))
            room = room_of(rules, frame) or (None if answered is None else named_room(rules, answered))
            if room is None or not isinstance(body.get(offset), int):
                continue
            stream = found.setdefault(room, _Stream())
            if RECOVERED in body:
                stream.epochs.add(body.get("epoch"))
            elif answered is not None:
                stream.publishers[body[offset]] = talk.first
            else:
                stream.publishers.setdefault(body[offset], None)
    return found


def _hole(contract: Contract, rules: RoomRules, talk: Talk, room: str, stream: _Stream) -> Finding | None:
    """Where something is missing between one message of the room and the next, or after a join that has recovered."""
    position: int | None = None
    promised: tuple[int, int] | None = None
    for frame, offset in _positions(contract, rules, talk, room):
        if RECOVERED not in (frame.body or {}):
            if position is not None:
                if (missing := stream.missing(talk.first, position, offset)) is not None:
                    return _missed(talk, room, missing, frame.at)
                position = max(position, offset)
        elif position is None:
            since = _since(contract, rules, talk, room, frame)
            recovered = (frame.body or {})[RECOVERED] is True
            if recovered and since is None:
                return None
            position = since if recovered else offset
            promised = (frame.at, offset + 1) if recovered else None
    if position is None or promised is None or talk.paused:
        return None
    at, end = promised
    if talk.ended is not None and talk.last <= at:
        return None
    missing = stream.missing(talk.first, position, end)
    return None if missing is None else _missed(talk, room, missing, at)


def _positions(contract: Contract, rules: RoomRules, talk: Talk, room: str) -> Iterator[tuple[Received, int]]:
    """The frames that say something of the position in a room, until it may have been left."""
    left = min(
        (sent.at for sent in talk.sent if sent.tag in rules.leaves and named_room(rules, sent) == room),
        default=None,
    )
    for frame in talk.received:
        offset = (frame.body or {}).get(contract.offset or "")
        answer = frame.ref is not None and RECOVERED not in (frame.body or {})
        if left is not None and frame.at >= left:
            return
        if room_of(rules, frame) == room and isinstance(offset, int) and not answer:
            yield frame, offset


def _since(contract: Contract, rules: RoomRules, talk: Talk, room: str, joined: Received) -> int | None:
    """The position that was given with the join; ``None`` where it is not clear which one that was."""
    joins: list[Sent] = [
        sent
        for sent in talk.sent
        if sent.at <= joined.at and sent.tag in rules.joins and named_room(rules, sent) == room
    ]
    offsets = [set(_integers(sent.body, contract.offset)) for sent in joins]
    return next(iter(offsets[0])) if len(joins) == 1 and len(offsets[0]) == 1 else None


def _integers(value: Any, name: str | None) -> Iterator[int]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == name and isinstance(item, int):
                yield item
            yield from _integers(item, name)


def _missed(talk: Talk, room: str, offset: int, at: int) -> Finding:
    return Finding(at, f"{talk.client} never got the message at the offset {offset} of {room!r}.")


recovery = Check(
    "recovery",
    "Who is in a room with history, or comes back with a position and is told that it has recovered, gets everything "
    "after that position: there is no silent hole.",
    _recovery,
    _lacks_history,
)
