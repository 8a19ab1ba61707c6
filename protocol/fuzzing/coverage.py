"""Programs that need no luck: the examples of the document, and each type, field and boundary once."""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from itertools import cycle, islice
from typing import Any, Final

from hypothesis import Phase, find
from hypothesis import settings as Settings  # noqa: N812 it is a class
from hypothesis.errors import NoSuchExample, Unsatisfiable

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.grammar import Grammar
from protocol.fuzzing.jsonschema import JsonSchema, at, subschemas, types
from protocol.fuzzing.messages import messages
from protocol.fuzzing.mutations import LARGE, Mutation, kind, places, replaced, walk
from protocol.fuzzing.program import Program, connected
from protocol.testing.steps import Body, Data, Send, dumped

_FRAMES: Final = 20
"""Frames of a program: fewer than a server has to put up with."""

_FOR_LUCK: Final = frozenset({Mutation.OVERSIZE, Mutation.DUPLICATE_KEY})
_ALIKE: Final = frozenset({Mutation.RETYPE, Mutation.EXTRA})
"""Mutations of which one value of each JSON type says as much as all."""


def examples(contract: Contract) -> Iterator[Program]:
    """The messages that the document gives as examples, one client and one program for all of a type."""
    for tag, schema in contract.grammar.schemas.items():
        found = [example for example in schema.get("examples", ()) if isinstance(example, dict)]
        if found and tag not in contract.grammar.control:
            yield from _programs(map(dumped, found))


def boundaries(contract: Contract) -> Iterator[Program]:
    """The simplest message of each type, and around a full one every boundary of every field: on it, and just outside."""
    for tag in contract.grammar.tags(()):
        simplest = _simplest(contract.grammar, tag)
        full = _full(contract, tag) or simplest
        yield from _programs([dumped(simplest), dumped(full), *_inside(contract, tag, full)])
        yield from _programs(_outside(contract, tag, full))


def _programs(frames: Iterable[Data]) -> Iterator[Program]:
    todo = iter(dict.fromkeys(frames))
    while found := [Send(0, data) for data in islice(todo, _FRAMES)]:
        yield connected(found)


def _simplest(grammar: Grammar, tag: str) -> Body:
    quick = Settings(database=None, deadline=None, phases=(Phase.generate, Phase.shrink), max_examples=20)
    return find(messages(grammar, tag), lambda _: True, settings=quick)


def _full(contract: Contract, tag: str) -> Body | None:
    """A message with all members that it may have, as have those within; ``None`` where none is valid.

    Of the envelope it has what it must: with one key for all, only the first would be applied.
    """
    grammar = contract.grammar
    schema = grammar.schemas[tag]
    body = [name for name in schema.get("properties", ()) if name not in {contract.id, "key"}]
    required = list(dict.fromkeys([*schema.get("required", ()), *body]))
    for wanted in (_filled(schema), schema):
        whole = {**wanted, "required": required}
        with suppress(ConfigurationError, NoSuchExample, Unsatisfiable):
            return _simplest(replace(grammar, schemas={**grammar.schemas, tag: whole}), tag)
    return None


def _filled(schema: JsonSchema) -> JsonSchema:
    """``schema`` with every member required, and an item in every array."""
    found = deepcopy(schema)
    for node in subschemas(found):
        if isinstance(node.get("properties"), dict):
            node["required"] = list(node["properties"])
        if node.get("type") == "array" and node.get("maxItems", 1) > 0:
            node["minItems"] = max(1, node.get("minItems", 0))
    return found


def _inside(contract: Contract, tag: str, message: Body) -> Iterator[Data]:
    schema = contract.grammar.schemas[tag]
    for path, value in walk(message):
        for one in at(schema, schema, path) if path else ():
            for edge in _edges(one, value):
                data = dumped(replaced(message, path, edge))
                if contract.grammar.fits(data) and contract.objection(data) is None:
                    yield data


def _edges(schema: JsonSchema, value: Any) -> Iterator[Any]:
    """What a flat schema just admits; more than it may have to be in a pattern or a format."""
    yield from schema.get("enum", ())
    for bound in ("minimum", "maximum"):
        if bound in schema:
            yield schema[bound]
    for bound, direction in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        if bound in schema:
            whole = "integer" in types(schema)
            yield schema[bound] + direction if whole else math.nextafter(schema[bound], direction * math.inf)
    for bound in ("minLength", "maxLength"):
        if isinstance(value, str) and schema.get(bound, LARGE) < LARGE:
            yield (value or "a")[: schema[bound]].ljust(schema[bound], "a")
    for bound in ("minItems", "maxItems"):
        if isinstance(value, list) and schema.get(bound, LARGE) < LARGE:
            yield list(islice(cycle(value), schema[bound]))


def _outside(contract: Contract, tag: str, message: Body) -> Iterator[Data]:
    for mutation in Mutation:
        if mutation in _FOR_LUCK:
            continue
        for path, values in places(mutation, contract.grammar.schemas[tag], tag, message):
            kinds = set[str]()
            for value in values:
                data = dumped(replaced(message, path, value))
                if (mutation in _ALIKE and kind(value) in kinds) or not contract.grammar.fits(data):
                    continue
                if contract.objection(data) is not None:
                    kinds.add(kind(value))
                    yield data
