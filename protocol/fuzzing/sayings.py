"""What clients say: messages that meet in one room, that are numbered, and that refer to what was received."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from protocol.fuzzing.contract import Contract
from protocol.fuzzing.jsonschema import JsonSchema, alternatives, shape, validator
from protocol.fuzzing.messages import tagged_messages
from protocol.fuzzing.overrides import Override, Overrides
from protocol.fuzzing.recall import recalls
from protocol.fuzzing.rooms import naming
from protocol.fuzzing.strategies import from_schema
from protocol.testing.steps import Body, Send, dumped

T = TypeVar("T")

_NOTHING: Final = st.just(0)
"""The recall of a message that refers to nothing."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A message of a client.

    ``numbered``: its id is the next number, whatever it was. ``recall``: the number of what it refers to, if there is
    such.
    """

    client: int
    message: Body
    numbered: bool
    recall: int = 0


class Sayings:
    """The strategies for what ``client`` says to a server that keeps ``contract``.

    Attributes:
        tags: the types of its messages.
        meeting: the names of rooms, nearly always the same one in all of a program.
        recalls: what a message of each type may refer to.
    """

    def __init__(
        self, contract: Contract, client: SearchStrategy[int], overrides: Mapping[Any, Override] | None
    ) -> None:
        grammar = contract.grammar
        self.tags = grammar.tags(())
        self.meeting = _meeting(contract)
        self.recalls = recalls(
            grammar.schemas, contract.sends, {name for name in (contract.id, "key") if name}
        )
        self._contract = contract
        self._client = client
        self._overrides = dict(overrides or {})
        self._number = _numbering(contract)

    def of(self, tags: list[str], recall: SearchStrategy[int] = _NOTHING) -> SearchStrategy[Saying]:
        """Messages of ``tags``; without ``recall`` they refer to nothing."""
        return st.builds(_said, self._client, self._messages(tags), recall)

    def referring(self) -> SearchStrategy[Saying]:
        """Messages of all types, of which one in three refers to something, where it can."""
        most = max((len(self.recalls[tag]) for tag in self.tags), default=0)
        number = st.integers(-2 * most, most).map(lambda number: max(0, number)) if most else _NOTHING
        return self.of(self.tags, number)

    def bare(self, tags: list[str]) -> SearchStrategy[Body]:
        """Messages that are to be numbered: no id is drawn for them."""
        if self._number is None:
            return self._made(tags, {})
        number = st.just(self._number(1))
        return self._made(tags, {tag: number if self._requires_id(tag) else st.nothing() for tag in tags})

    def text_of(self, tag: str) -> str | None:
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

    def send(self, saying: Saying, numbers: Iterator[int]) -> Send:
        """How it is sent."""
        message = saying.message
        tag = self._contract.tag(message, sent=True) or ""
        if saying.numbered and self._number is not None:
            message = {**message, str(self._contract.id): self._number(next(numbers))}
        known = self.recalls.get(tag, ())
        return Send(
            saying.client,
            dumped(message),
            known[saying.recall - 1] if 0 < saying.recall <= len(known) else (),
        )

    def _messages(self, tags: list[str]) -> SearchStrategy[tuple[Body, bool]]:
        """Messages of ``tags``, and whether they are numbered: most are, some have no id, and some one of their own."""
        own = self._made(tags, {}).map(lambda message: (message, False))
        if self._number is None:
            return own
        free = [tag for tag in tags if not self._requires_id(tag)]
        nothing = dict.fromkeys(free, st.nothing())
        without = self._made(free, nothing).map(lambda message: (message, False)) if free else own
        return weighted((3, self.bare(tags).map(lambda message: (message, True))), (1, without), (1, own))

    def _made(self, tags: list[str], ids: Mapping[str, SearchStrategy[Any]]) -> SearchStrategy[Body]:
        overrides: dict[Any, Override] = dict(self._overrides)
        if (rules := self._contract.room) is not None:
            form = shape(naming(rules, self._contract.grammar.schemas)[0])
            for tag in self.tags:
                members = self._schema(tag).get("properties", {})
                if rules.member in members and shape(members[rules.member]) == form:
                    overrides.setdefault(f"{tag}.{rules.member}", self.meeting)
        overrides |= {f"{tag}.{self._contract.id}": id for tag, id in ids.items() if self._has_id(tag)}
        return tagged_messages(self._contract.grammar, tags, overrides).map(lambda pair: pair[1])

    def _schema(self, tag: str) -> JsonSchema:
        return self._contract.grammar.schemas[tag]

    def _has_id(self, tag: str) -> bool:
        return self._contract.id in self._schema(tag).get("properties", {})

    def _requires_id(self, tag: str) -> bool:
        return self._contract.id in self._schema(tag).get("required", ())


def weighted(*choices: tuple[int, SearchStrategy[T]]) -> SearchStrategy[T]:
    """One of several strategies, each so often: ``one_of`` takes only once what is given to it several times."""
    strategies = [strategy for weight, strategy in choices for _ in range(weight)]

    @st.composite
    def chosen(draw: DrawFn) -> T:
        return draw(strategies[draw(st.integers(0, len(strategies) - 1))])

    return chosen()


def _meeting(contract: Contract) -> SearchStrategy[Any]:
    """Nearly always one room, the same in all of a program: clients have to meet."""
    rules = contract.room
    if rules is None:
        return st.nothing()
    _, whole = naming(rules, contract.grammar.schemas)
    names = from_schema(whole, Overrides({}, {}), name=rules.member)
    if known := [name for name in rules.names if validator(whole, whole).is_valid(name)]:
        names = weighted((2, st.sampled_from(known)), (1, names))
    meeting, other = (st.shared(names, key=f"protocol.fuzzing room {number}") for number in range(2))
    return weighted((4, meeting), (1, other))


def _said(client: int, found: tuple[Body, bool], recall: int) -> Saying:
    message, numbered = found
    return Saying(client, message, numbered, recall)


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
