"""The schemas that the messages of a document share, under ``components/schemas``."""

import json
import re
from typing import Any, Final

from protocol.asyncapi.draft07 import (
    DEFINITIONS,
    JsonSchema,
    lower_definitions,
    lower_node,
    without_other_names,
)

PLACE: Final = "#/components/schemas/"


class Schemas:
    """Collects definitions. One that is the same in several messages is there once; others get a name apart."""

    def __init__(self) -> None:
        self.components: dict[str, JsonSchema] = {}
        self._sources: dict[str, str] = {}

    def add(self, schema: JsonSchema) -> JsonSchema:
        """Take in what ``schema`` (2020-12) defines, and return it in Draft 07 with references to here."""
        schema = without_other_names(schema)
        definitions: dict[str, JsonSchema] = schema.get("$defs", {})
        names = {name: self._name(name, _closure(name, definitions)) for name in definitions}

        def place(name: str) -> str:
            return f"{PLACE}{names[name]}"

        for name, lowered in lower_definitions(schema, place).items():
            self.components.setdefault(names[name], lowered)
        found: JsonSchema = lower_node(schema, place)
        return found

    def _name(self, name: str, source: str) -> str:
        plain = key(name)
        found, number = plain, 1
        while self._sources.setdefault(found, source) != source:
            number += 1
            found = f"{plain}{number}"
        return found


def key(name: str) -> str:
    """``name`` in the characters that AsyncAPI allows for a key of ``components``."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _closure(name: str, definitions: dict[str, JsonSchema]) -> str:
    """A definition with all that it refers to: two of them are the same if this is."""
    found: dict[str, JsonSchema] = {}
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in found:
            found[one] = definitions[one]
            todo.extend(_references(definitions[one]))
    return json.dumps([name, found], sort_keys=True)


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for inner in node for name in _references(inner)]
    if not isinstance(node, dict):
        return []
    own = node.get("$ref")
    here = [own.removeprefix(DEFINITIONS)] if isinstance(own, str) and own.startswith(DEFINITIONS) else []
    return here + _references(list(node.values()))
