"""The strategy for programs: what several clients do, as a flat list of steps.

Nothing in a program depends on what the server answers, but for the values that a message refers to, so it shrinks as
a list does and can be played anywhere. A program is made of moves that are common among clients: say something, say
it all at once, say something broken, enter a room together, go and come back. A move becomes one step or several, and
a client that is not there yet connects first.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from protocol.fuzzing.contract import Contract
from protocol.fuzzing.faults import fault_moves, seeds
from protocol.fuzzing.frames import Label, frames
from protocol.fuzzing.jsonschema import JsonSchema, alternatives, shape, validator
from protocol.fuzzing.messages import tagged_messages
from protocol.fuzzing.overrides import Override, Overrides
from protocol.fuzzing.recall import recalls
from protocol.fuzzing.rooms import Address, naming
from protocol.fuzzing.strategies import from_schema
from protocol.testing.steps import (
    Body,
    Burst,
    Close,
    Connect,
    Drop,
    Fault,
    Pause,
    Resume,
    Send,
    Step,
    Vanish,
    Wait,
    dumped,
)

T = TypeVar("T")

Program = tuple[Step, ...]

MOVES: Final = 8
"""The most moves of a program. Longer ones find no more, and are slower."""


@dataclass(frozen=True, slots=True)
class _Saying:
    """A message of a client.

    ``numbered``: its id is the next number, whatever it was. ``recall``: the number of what it refers to, if there is
    such.
    """

    client: int
    message: Body
    numbered: bool
    recall: int = 0


@dataclass(frozen=True, slots=True)
class _Together:
    """Messages that are sent at once."""

    sayings: tuple[_Saying, ...]


_Move = _Saying | _Together | tuple[_Saying | Step, ...] | Step

_NOTHING: Final = st.just(0)
"""The recall of a message that refers to nothing: in a race it would be another message in each order."""


def programs(
    contract: Contract,
    *,
    clients: int = 3,
    moves: int = MOVES,
    overrides: dict[Any, Override] | None = None,
    steps: Iterable[str] = (),
    nodes: int = 0,
) -> SearchStrategy[Program]:
    """Programs of ``clients`` clients for a server that keeps ``contract``.

    ``steps``: which moves there are, of ``MOVE_NAMES`` and, where several ``nodes`` are simulated, ``FAULT_NAMES``;
    all, unless some are named.
    """
    return _Moves(contract, clients, overrides).programs(moves, frozenset(steps), nodes)


MOVE_NAMES: Final = (
    "say",
    "repeat",
    "sequence",
    "race",
    "broken",
    "enter",
    "connect",
    "leave",
    "pause",
    "wait",
)


class _Moves:
    def __init__(self, contract: Contract, clients: int, overrides: dict[Any, Override] | None) -> None:
        grammar = contract.grammar
        self._contract = contract
        self._client = st.integers(0, clients - 1)
        self._clients = clients
        self._tags = grammar.tags(())
        self._overrides = overrides
        self._meeting = self._rooms()
        self._recalls = recalls(
            grammar.schemas, contract.sends, {name for name in (contract.id, "key") if name}
        )
        self._number = _numbering(contract)
        self._message = self._messages(self._tags)

    def programs(self, moves: int, names: frozenset[str], nodes: int) -> SearchStrategy[Program]:
        makers: dict[str, Callable[[], Iterable[SearchStrategy[_Move]]]] = {
            "say": lambda: [self._say()],
            "repeat": lambda: [self._repeat()],
            "sequence": self._sequences,
            "race": lambda: [self._race(), self._echo()] if self._clients > 1 else [self._echo()],
            "broken": lambda: [self._broken()],
            "enter": lambda: [*self._enter(), *self._return()],
            "connect": self._connect,
            "leave": lambda: [st.one_of(st.builds(Drop, self._client), st.builds(Close, self._client))],
            "pause": lambda: [st.one_of(st.builds(Resume, self._client), st.builds(Pause, self._client))],
            "wait": lambda: [st.builds(Wait, st.sampled_from((1.0, 60.0)))],
        }
        found: list[tuple[int, SearchStrategy[_Move]]] = [
            (3 if name == "say" else 1, made)
            for name in MOVE_NAMES
            if not names or name in names
            for made in makers[name]()
        ]
        faults: dict[str, SearchStrategy[Any]] = fault_moves(self._client, nodes) if nodes else {}
        found += [(1, made) for name, made in faults.items() if not names or name in names]
        if nodes and (not names or "fault" in names):
            found.append((2, self._in_trouble(faults["fault"])))
        openings = {"enter": self._enter, "connect": self._connect}
        opening = [made for name in openings if not names or name in names for made in openings[name]()]
        first = st.lists(st.one_of(opening), max_size=1) if opening else st.just([])
        rest = st.lists(_weighted(*found), min_size=1, max_size=moves)
        seed: SearchStrategy[Any] = seeds() if nodes else st.just(())
        return st.builds(lambda seed, one, more: self._assemble([*seed, *one, *more]), seed, first, rest)

    # Moves.

    def _messages(self, tags: list[str]) -> SearchStrategy[tuple[Body, bool]]:
        """Messages of ``tags``, and whether they are numbered: most are, some have no id, and some one of their own."""
        own = self._made(tags, {}).map(lambda message: (message, False))
        if self._number is None:
            return own
        free = [tag for tag in tags if not self._requires_id(tag)]
        nothing = dict.fromkeys(free, st.nothing())
        without = self._made(free, nothing).map(lambda message: (message, False)) if free else own
        return _weighted((3, self._bare(tags).map(lambda message: (message, True))), (1, without), (1, own))

    def _bare(self, tags: list[str]) -> SearchStrategy[Body]:
        """Messages that are to be numbered: no id is drawn for them."""
        if self._number is None:
            return self._made(tags, {})
        number = st.just(self._number(1))
        return self._made(tags, {tag: number if self._requires_id(tag) else st.nothing() for tag in tags})

    def _made(self, tags: list[str], ids: Mapping[str, SearchStrategy[Any]]) -> SearchStrategy[Body]:
        overrides: dict[Any, Override] = dict(self._overrides or {})
        if (rules := self._contract.room) is not None:
            form = shape(naming(rules, self._contract.grammar.schemas)[0])
            for tag in self._tags:
                members = self._schema(tag).get("properties", {})
                if rules.member in members and shape(members[rules.member]) == form:
                    overrides.setdefault(f"{tag}.{rules.member}", self._meeting)
        overrides |= {f"{tag}.{self._contract.id}": id for tag, id in ids.items() if self._has_id(tag)}
        return tagged_messages(self._contract.grammar, tags, overrides).map(lambda pair: pair[1])

    def _schema(self, tag: str) -> JsonSchema:
        return self._contract.grammar.schemas[tag]

    def _has_id(self, tag: str) -> bool:
        return self._contract.id in self._schema(tag).get("properties", {})

    def _requires_id(self, tag: str) -> bool:
        return self._contract.id in self._schema(tag).get("required", ())

    def _rooms(self) -> SearchStrategy[Any]:
        """Nearly always one room, the same in all of a program: clients have to meet."""
        rules = self._contract.room
        if rules is None:
            return st.nothing()
        _, whole = naming(rules, self._contract.grammar.schemas)
        names = from_schema(whole, Overrides({}, {}), name=rules.member)
        if known := [name for name in rules.names if validator(whole, whole).is_valid(name)]:
            names = _weighted((2, st.sampled_from(known)), (1, names))
        meeting, other = (st.shared(names, key=f"protocol.fuzzing room {number}") for number in range(2))
        return _weighted((4, meeting), (1, other))

    def _saying(
        self, message: SearchStrategy[tuple[Body, bool]], recall: SearchStrategy[int]
    ) -> SearchStrategy[_Saying]:
        return st.builds(_said, self._client, message, recall)

    def _recalling(self) -> SearchStrategy[int]:
        """One message in three refers to something, where it can."""
        most = max((len(self._recalls[tag]) for tag in self._tags), default=0)
        return st.integers(-2 * most, most).map(lambda number: max(0, number)) if most else _NOTHING

    def _say(self) -> SearchStrategy[_Saying]:
        return self._saying(self._message, self._recalling())

    def _repeat(self) -> SearchStrategy[_Move]:
        """A client says the same twice, one after the other."""
        return self._say().map(lambda saying: (saying, saying))

    def _race(self) -> SearchStrategy[_Move]:
        return st.lists(self._saying(self._message, _NOTHING), min_size=2, max_size=3).map(
            lambda found: _Together(tuple(found))
        )

    def _echo(self) -> SearchStrategy[_Move]:
        """One message from several clients, or several times from one, at once."""
        return st.builds(
            lambda saying, others: _Together(
                (saying, *(_Saying(client, saying.message, saying.numbered) for client in others))
            ),
            self._saying(self._message, _NOTHING),
            st.lists(self._client, min_size=1, max_size=2),
        )

    def _in_trouble(self, faults: SearchStrategy[tuple[Step, ...]]) -> SearchStrategy[_Move]:
        """A fault of a node, and a message from a client that is usually there."""
        return st.builds(
            lambda fault, saying: (*fault, replace(saying, client=fault[0].node % self._clients)),
            faults,
            self._say(),
        )

    def _sequences(self) -> list[SearchStrategy[_Move]]:
        """Numbers as texts from one client, one right after the other: their order can be seen."""
        found = {tag: field for tag in self._tags if (field := self._text_of(tag)) is not None}
        if not found:
            return []

        def sequence(saying: _Saying, count: int) -> _Together:
            tag = self._contract.tag(saying.message, sent=True)
            field = found[str(tag)]
            return _Together(
                tuple(
                    _Saying(saying.client, {**saying.message, field: str(number)}, saying.numbered)
                    for number in range(1, count + 1)
                )
            )

        return [st.builds(sequence, self._saying(self._messages(list(found)), _NOTHING), st.integers(2, 3))]

    def _text_of(self, tag: str) -> str | None:
        """A member of a message that may be any text, and that names no room."""
        schema = self._schema(tag)
        room = None if self._contract.room is None else self._contract.room.member
        for name, sub in schema.get("properties", {}).items():
            if name in {self._contract.id, "key", room}:
                continue
            for one in alternatives(schema, sub):
                free = one.get("type") == "string" and not one.keys() & {"pattern", "format", "enum"}
                if free and one.get("minLength", 0) <= 1 <= one.get("maxLength", 1):
                    return name  # type: ignore[no-any-return]
        return None

    def _enter(self) -> list[SearchStrategy[_Move]]:
        """Several clients enter one room, one after the other."""
        if self._contract.room is None or not self._contract.room.joins:
            return []
        message = self._bare(sorted(self._contract.room.joins))
        others = st.integers(1, self._clients)
        entering: SearchStrategy[_Move] = st.builds(
            lambda message, count: tuple(_Saying(client, message, True) for client in range(count)),
            message,
            others,
        )
        return [entering]

    def _return(self) -> list[SearchStrategy[_Move]]:
        """A client leaves, something is said, and it comes back to where it was, as far as it knows."""
        rules = self._contract.room
        joins = [] if rules is None else sorted(tag for tag in rules.joins if self._recalls[tag])
        if not joins:
            return []
        gone = st.one_of(st.builds(Drop, self._client), st.builds(Close, self._client))
        recall = st.integers(1, max(len(self._recalls[tag]) for tag in joins))
        return [
            st.builds(
                _returning,
                gone,
                st.lists(self._saying(self._message, _NOTHING), max_size=2),
                self._bare(joins),
                recall,
            )
        ]

    def _connect(self) -> list[SearchStrategy[_Move]]:
        """One client, or several one after the other, connect to one of the addresses that are not the usual one."""
        usual, *others = self._contract.addresses
        arrivals = [self._arrival(address) for address in (*others, *([usual] if usual.parameters else []))]
        if not arrivals:
            return []
        arrival = st.one_of(arrivals)
        return [
            st.builds(lambda arrival, client: replace(arrival, client=client), arrival, self._client),
            st.builds(
                lambda arrival, count: tuple(replace(arrival, client=client) for client in range(count)),
                arrival,
                st.integers(1, self._clients),
            ),
        ]

    def _arrival(self, address: Address) -> SearchStrategy[Connect]:
        """A client connects to an address; where that names a room, it is mostly the one in which clients meet."""
        member = "" if self._contract.room is None else self._contract.room.member
        values = {name: st.sampled_from(known) for name, known in address.parameters}
        if member in values:
            values[member] = self._meeting.filter(_is_plain)
        return st.fixed_dictionaries(values).map(
            lambda found: Connect(0, address.path(found), room=found.get(member))
        )

    def _broken(self) -> SearchStrategy[_Move]:
        broken = frames(
            self._contract.grammar, labels=(Label.NEAR_VALID, Label.GARBAGE), overrides=self._overrides
        )
        return st.builds(lambda client, frame: Send(client, frame.data), self._client, broken)

    # From moves to steps.

    def _assemble(self, moves: list[_Move]) -> Program:
        numbers = iter(range(1, 1_000))
        steps: list[Step] = []
        for move in moves:
            match move:
                case _Saying():
                    steps.append(self._send(move, numbers))
                case _Together(sayings):
                    steps.append(Burst(tuple(self._send(saying, numbers) for saying in sayings)))
                case tuple():
                    steps += [self._send(one, numbers) if isinstance(one, _Saying) else one for one in move]
                case _:
                    steps.append(move)
        return connected(steps)

    def _send(self, saying: _Saying, numbers: Iterator[int]) -> Send:
        message = saying.message
        tag = self._contract.tag(message, sent=True) or ""
        if saying.numbered and self._number is not None:
            message = {**message, str(self._contract.id): self._number(next(numbers))}
        known = self._recalls.get(tag, ())
        return Send(
            saying.client,
            dumped(message),
            known[saying.recall - 1] if 0 < saying.recall <= len(known) else (),
        )


def _weighted(*choices: tuple[int, SearchStrategy[T]]) -> SearchStrategy[T]:
    """One of several strategies, each so often: ``one_of`` takes only once what is given to it several times."""
    strategies = [strategy for weight, strategy in choices for _ in range(weight)]

    @st.composite
    def chosen(draw: DrawFn) -> T:
        return draw(strategies[draw(st.integers(0, len(strategies) - 1))])

    return chosen()


def _said(client: int, found: tuple[Body, bool], recall: int) -> _Saying:
    message, numbered = found
    return _Saying(client, message, numbered, recall)


def _is_plain(name: object) -> bool:
    """Whether a name can be a parameter of a path without escapes."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", name) is not None


def _returning(
    gone: Drop | Close, meanwhile: list[_Saying], message: Body, recall: int
) -> tuple[_Saying | Step, ...]:
    return (gone, *meanwhile, _Saying(gone.client, message, True, recall))


def _numbering(contract: Contract) -> Callable[[int], int | str] | None:
    """How the ids are written that a fuzzer counts up, so that every message takes them."""
    if contract.id is None:
        return None
    for write in (int, str):
        if all(_takes(contract, tag, write(1)) for tag in contract.grammar.schemas):
            return write
    return None


def _takes(contract: Contract, tag: str, id: object) -> bool:
    schema = contract.grammar.schemas[tag]
    sub = schema.get("properties", {}).get(contract.id, True)
    return isinstance(sub, bool) or validator(schema, sub).is_valid(id)


def connected(steps: Iterable[Step]) -> Program:
    """``steps`` with a ``Connect`` before what a client does that is not there, and without what has no effect."""
    found: list[Step] = []
    there: set[int] = set()
    lost: set[int] = set()
    paused: set[int] = set()
    for step in steps:
        match step:
            case Connect(client):
                if client in there - lost:
                    continue
                there.add(client)
                lost.discard(client)
            case Send() | Burst():
                sends = (step,) if isinstance(step, Send) else step.sends
                for client in dict.fromkeys(send.client for send in sends):
                    if client not in there or client in lost:
                        there.add(client)
                        lost.discard(client)
                        found.append(Connect(client))
            case Fault("crash"):
                # Who was on that node is not there any more; to connect who still is does nothing.
                lost |= there
            case Close(client) | Drop(client) | Vanish(client):
                if client not in there:
                    continue
                there.discard(client)
                paused.discard(client)
            case Pause(client):
                if client not in there or client in paused:
                    continue
                paused.add(client)
            case Resume(client):
                if client not in paused:
                    continue
                paused.discard(client)
        found.append(step)
    return tuple(found)
