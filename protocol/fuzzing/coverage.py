"""Programs that need no luck: the examples of the document, and each type, field and boundary once."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from hypothesis import Phase, find
from hypothesis import settings as Settings  # noqa: N812 it is a class

from protocol.fuzzing.contract import Contract
from protocol.fuzzing.jsonschema import JsonSchema, at
from protocol.fuzzing.messages import messages
from protocol.fuzzing.mutations import _CHOICES, _LARGE, Mutation, _replaced, _walk
from protocol.fuzzing.program import Program, connected
from protocol.testing.steps import Body, Data, Send, dumped

_FRAMES: Final = 20
"""Frames of a program: fewer than a server has to put up with."""


def examples(contract: Contract) -> Iterator[Program]:
    """The messages that the document gives as examples, one client and one program for all of a type."""
    for tag, schema in contract.grammar.schemas.items():
        found = [example for example in schema.get("examples", ()) if isinstance(example, dict)]
        if found and tag not in contract.grammar.control:
            yield from _programs(map(dumped, found))


def boundaries(contract: Contract) -> Iterator[Program]:
    """Around the simplest message of each type, every boundary of every field: on it, and just outside."""
    for tag in contract.grammar.tags(()):
        quick = Settings(database=None, deadline=None, phases=(Phase.generate, Phase.shrink), max_examples=20)
        message = find(messages(contract.grammar, tag), lambda _: True, settings=quick)
        yield from _programs(_inside(contract, tag, message))
        yield from _programs(_outside(contract, tag, message))


def _programs(frames: Iterable[Data]) -> Iterator[Program]:
    todo = iter(frames)
    while found := [Send(0, data) for data in islice(todo, _FRAMES)]:
        yield connected(found)


def _inside(contract: Contract, tag: str, message: Body) -> Iterator[Data]:
    schema = contract.grammar.schemas[tag]
    for path, value in _walk(message):
        for one in at(schema, schema, path) if path else ():
            for edge in _edges(one, value):
                data = dumped(_replaced(message, path, edge))
                if contract.objection(data) is None:
                    yield data


def _edges(schema: JsonSchema, value: Any) -> Iterator[Any]:
    yield from schema.get("enum", ())
    for bound in ("minimum", "maximum"):
        if bound in schema:
            yield schema[bound]
    for bound in ("minLength", "maxLength"):
        if isinstance(value, str) and schema.get(bound, _LARGE) < _LARGE:
            yield (value or "a")[: schema[bound]].ljust(schema[bound], "a")


def _outside(contract: Contract, tag: str, message: Body) -> Iterator[Data]:
    schema = contract.grammar.schemas[tag]
    for mutation in Mutation:
        if mutation in {Mutation.OVERSIZE, Mutation.DUPLICATE_KEY}:
            continue
        for path, value in _walk(message):
            for changed in _CHOICES[mutation](schema, tag, path, value):
                data = dumped(_replaced(message, path, changed))
                if contract.objection(data) is not None:
                    yield data
