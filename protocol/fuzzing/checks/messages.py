"""Checks of single messages: what is taken, what is answered, and how."""

from collections import defaultdict
from collections.abc import Iterator

from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.checks.rooms import named_room, texts
from protocol.fuzzing.contract import BROKEN_CODES, Contract
from protocol.fuzzing.run import Received, Run, Sent, Talk
from protocol.testing.steps import Burst, Send, shortened
from protocol.types import Ref

Id = tuple[type, Ref]
"""An id with its type: to Python 1 and 1.0 are one key, to JSON they are not."""


def _message_conformance(run: Run) -> Finding | None:
    contract = run.contract
    for talk in run.talks:
        for frame in talk.received:
            if detail := _misfit(contract, frame):
                return Finding(frame.at, f"{detail} {talk.client} got {shortened(frame.data)}")
    return None


def _misfit(contract: Contract, frame: Received) -> str | None:
    if isinstance(frame.data, bytes):
        return "A binary frame is declared nowhere."
    if frame.body is None:
        return "This is no JSON object in which each member stands once."
    if frame.tag is None:
        return "No such message is declared."
    if complaint := contract.complaint(frame.body, frame.tag):
        return f"The {frame.tag!r} does not fit its schema: {complaint}."
    code = frame.body.get("code")
    if frame.tag == contract.error and contract.error_codes is not None and code not in contract.error_codes:
        return f"The error code {code!r} is declared nowhere."
    return None


def _request_reply(run: Run) -> Finding | None:
    for talk in run.talks:
        if finding := _answers_of(run.contract, talk):
            return finding
    return None


def _lacks_ids(contract: Contract, arena: Arena) -> str:
    if contract.id is not None and contract.ref is not None:
        return ""
    return "the members that an id is in and its answer has it in (correlationId of the messages)"


def _answers_of(contract: Contract, talk: Talk) -> Finding | None:
    asked = _asked(talk)
    finals: defaultdict[Id, int] = defaultdict(int)
    for frame in talk.received:
        if frame.ref is None:
            continue
        key = (type(frame.ref), frame.ref)
        sents = [sent for sent in asked.get(key, ()) if sent.at <= frame.at]
        if not sents:
            return Finding(
                frame.at,
                f"{talk.client} got an answer to an id that it has not used: {shortened(frame.data)}",
            )
        tags = [sent.tag for sent in sents if sent.tag is not None]
        if (
            frame.tag != contract.error
            and tags
            and not any(contract.may_answer(tag, frame.tag) for tag in tags)
        ):
            return Finding(
                frame.at, f"{tags[0]!r} of {talk.client} has no such answer: {shortened(frame.data)}"
            )
        if all(contract.is_final(tag, frame.tag) for tag in tags):
            finals[key] += 1
            if finals[key] > len(sents):
                return Finding(
                    frame.at,
                    f"The id {frame.ref!r} of {talk.client} was answered again: {shortened(frame.data)}",
                )
    if talk.silent or talk.paused:
        return None
    for key, sents in asked.items():
        due = [sent for sent in sents if _is_due(contract, talk, sent)]
        if finals[key] < len(due):
            last = due[-1]
            return Finding(last.at, f"{last.tag!r} of {talk.client} with the id {last.id!r} got no answer.")
    return None


def _asked(talk: Talk) -> dict[Id, list[Sent]]:
    found: dict[Id, list[Sent]] = {}
    for sent in talk.sent:
        if sent.id is not None:
            found.setdefault((type(sent.id), sent.id), []).append(sent)
    return found


def _is_due(contract: Contract, talk: Talk, sent: Sent) -> bool:
    """Whether an answer has to have come: what was under way when the connection ended has no right to one."""
    return contract.is_answered(sent.tag) and (talk.ended is None or sent.at < talk.last)


def _negative_data_rejection(run: Run) -> Finding | None:
    contract = run.contract
    for talk, at, sents, answers in _steps_of(run):
        broken = [sent for sent in sents if sent.objection is not None]
        if not broken:
            continue
        valid = {(type(sent.id), sent.id) for sent in talk.sent if sent.objection is None}
        ids = {(type(sent.id), sent.id) for sent in broken if sent.id is not None}
        for frame in answers:
            if (type(frame.ref), frame.ref) in ids - valid and frame.tag != contract.error:
                return Finding(
                    at, f"The server took what it must refuse ({broken[0].objection}): {frame.data!r}"
                )
        errors = [
            frame
            for frame in answers
            if frame.tag == contract.error and (frame.ref is None or (type(frame.ref), frame.ref) in ids)
        ]
        alive = not (talk.silent or talk.paused) and not (talk.ended == "server" and talk.last == at)
        if contract.error is not None and alive and len(errors) < len(broken):
            return Finding(
                at,
                f"{len(broken) - len(errors)} frames of {talk.client} that the server must refuse got no error: "
                f"{broken[0].objection}",
            )
        if isinstance(run.exchanges[at].step, Send) and (heard := _heard(run, talk, broken[0])) is not None:
            hearer, frame = heard
            return Finding(
                at,
                f"What the server must refuse ({broken[0].objection}) reached {hearer.client}: "
                f"{shortened(frame.data)}",
            )
    return None


def _heard(run: Run, talk: Talk, broken: Sent) -> tuple[Talk, Received] | None:
    """Who got something of a broken frame, and what: a text that nobody had said or heard before."""
    contract, at = run.contract, broken.at
    if talk.ended is not None and talk.last == at:
        return None  # Who hears that it has gone may hear what it is called.
    frames = [
        (other, frame)
        for other in run.talks
        if other is not talk
        for frame in other.received
        if frame.at == at and frame.ref is None and frame.tag != contract.error
    ]
    if not frames:
        return None
    known = {"", *contract.grammar.schemas, *contract.sends}
    for other in run.talks:
        before: tuple[Sent | Received, ...] = (*other.sent, *other.received)
        for one in before:
            if one.at < at:
                known.update(texts(one.body))
    room = None if contract.room is None else named_room(contract.room, broken)
    said = set(texts(broken.body)) - known - {room}
    return next(((other, frame) for other, frame in frames if not said.isdisjoint(texts(frame.body))), None)


def _positive_data_acceptance(run: Run) -> Finding | None:
    contract = run.contract
    for talk, at, sents, answers in _steps_of(run):
        ids = {(type(sent.id), sent.id) for sent in sents}
        if any(sent.objection is not None and (type(sent.id), sent.id) in ids for sent in talk.sent):
            continue
        opening = talk.opening
        if opening is not None and at != talk.first and any(sent.tag == opening.tag for sent in sents):
            continue  # It has its place at the beginning only.
        alone = not isinstance(run.exchanges[at].step, Burst)
        for frame in answers:
            ours = (
                (type(frame.ref), frame.ref) in ids
                if frame.ref is not None
                else alone and sents[0].id is None
            )
            code = frame.body.get("code") if frame.body else None
            if ours and frame.tag == contract.error and code in BROKEN_CODES:
                return Finding(at, f"The server refused a valid {sents[0].tag!r}: {shortened(frame.data)}")
        if alone and talk.ended == "server" and talk.last == at and talk.closed is not None:
            code, reason = talk.closed
            if code in {1002, 1003, 1007, 1008, 1009, 3501}:
                return Finding(
                    at, f"The server closed with {code} ({reason}) after a valid {sents[0].tag!r}."
                )
    return None


def _steps_of(run: Run) -> Iterator[tuple[Talk, int, list[Sent], list[Received]]]:
    """For each connection and step in which it sent something: that, and what it got."""
    for talk in run.talks:
        received: defaultdict[int, list[Received]] = defaultdict(list)
        for frame in talk.received:
            received[frame.at].append(frame)
        sent: defaultdict[int, list[Sent]] = defaultdict(list)
        for one in talk.sent:
            sent[one.at].append(one)
        for at, sents in sent.items():
            yield talk, at, sents, received[at]


message_conformance = Check(
    "message_conformance",
    "Every frame of the server is a declared message: a JSON object with a known tag that fits the schema of that "
    "tag, and errors have declared codes. A typed client fails on anything else.",
    _message_conformance,
)
request_reply = Check(
    "request_reply",
    "A message that asks for an answer gets exactly one final answer, of a declared kind, with its own id, on its "
    "own connection. A client that waits for it must neither wait for ever nor take another's.",
    _request_reply,
    _lacks_ids,
)
negative_data_rejection = Check(
    "negative_data_rejection",
    "What the schema does not allow is refused by an error or a close, never silently, and nobody else hears of it.",
    _negative_data_rejection,
)
positive_data_acceptance = Check(
    "positive_data_acceptance",
    "What the schema allows is not refused as malformed or invalid. It may be refused for the state of things.",
    _positive_data_acceptance,
)
