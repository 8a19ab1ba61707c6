"""Which members of a message may be what the server has sent before: a position, a token, the id of a room."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from protocol.fuzzing.jsonschema import JsonSchema, alternatives, shape, subschemas, types
from protocol.testing.steps import Reference

Recall = tuple[Reference, ...]

_BACK: Final = (0, 1)
"""The last value, and the one before it: a position that is no longer the newest."""

_SCALARS: Final = frozenset({"string", "integer", "number"})
_DEPTH: Final = 3


def recalls(
    takes: Mapping[str, JsonSchema], sends: Mapping[str, JsonSchema], own: Collection[str]
) -> dict[str, tuple[Recall, ...]]:
    """What a message of each tag may refer to at once: all members of an object that can, or one of them.

    A member can refer to one of the same name and type that is sent, or to one with the same pattern or format;
    those in ``own`` are the client's to choose.
    """
    known = _Known(sends)
    return {tag: tuple(_recalls(known, schema, own)) for tag, schema in takes.items()}


def _recalls(known: "_Known", schema: JsonSchema, own: Collection[str]) -> Iterator[Recall]:
    objects = list(_objects(known, schema, schema, (), own))
    # The innermost belong together most.
    whole = [tuple(one[0] for one in found) for found in reversed(objects) if len(found) > 1]
    single = [(reference,) for found in objects for one in found for reference in one]
    for recall in (*whole, *single):
        for back in _BACK:
            yield tuple(replace(reference, back=back) for reference in recall)


def _objects(
    known: "_Known", root: JsonSchema, schema: JsonSchema, at: tuple[str, ...], own: Collection[str]
) -> Iterator[list[Recall]]:
    """For each member of an object what it may refer to; then the same of the objects in it."""
    found: list[Recall] = []
    inner: list[tuple[str, JsonSchema]] = []
    for name, sub in schema.get("properties", {}).items():
        if not at and name in own:
            continue
        alternative = list(alternatives(root, sub))
        if members := known.members(name, alternative):
            found.append(tuple(Reference((*at, name), member) for member in members))
        inner += [(name, one) for one in alternative if "properties" in one]
    yield found
    if len(at) + 1 < _DEPTH:
        for name, one in inner:
            yield from _objects(known, root, one, (*at, name), own)


class _Known:
    """The strings and numbers in what is sent, by name and by form."""

    def __init__(self, sends: Mapping[str, JsonSchema]) -> None:
        self._kinds: dict[str, set[str]] = {}
        self._shapes: dict[str, dict[str, None]] = {}
        for root in sends.values():
            for schema in subschemas(root):
                for name, sub in schema.get("properties", {}).items():
                    self._add(name, alternatives(root, sub))

    def _add(self, name: str, schemas: Iterator[JsonSchema]) -> None:
        for schema in schemas:
            if "enum" not in schema:
                self._kinds.setdefault(name, set()).update(_SCALARS.intersection(types(schema)))
                if schema.keys() & {"pattern", "format"}:
                    self._shapes.setdefault(shape(schema), {})[name] = None

    def members(self, name: str, schemas: Iterable[JsonSchema]) -> list[str]:
        """The names under which values are sent that a member ``name`` may have; its own first."""
        found: dict[str, None] = {}
        for schema in schemas:
            if "enum" not in schema:
                if self._kinds.get(name, set()).intersection(types(schema)):
                    found[name] = None
                found.update(self._shapes.get(shape(schema), {}))
        return sorted(found, key=lambda other: other != name)
