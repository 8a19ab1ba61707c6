"""What is done with pydantic's core schemas: the fields of an envelope put into them, and their names read.

Core schemas are documented by pydantic-core and differ between its versions; no other module reads them.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import CoreSchema, core_schema

from protocol.exceptions import ConfigurationError


def place_of(model: type[BaseModel]) -> str:
    """Where a model stands, for error texts."""
    file = getattr(sys.modules.get(model.__module__), "__file__", None)
    return f"{model.__qualname__} ({file or model.__module__})"


def schema_of(model: type[BaseModel]) -> tuple[CoreSchema, dict[str, CoreSchema]]:
    """The schema of ``model`` and the definitions that it refers to; raises ``ConfigurationError`` for a lost one."""
    try:
        model.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise ConfigurationError(
            f"{place_of(model)} refers to a type that is not defined: {str(error).splitlines()[0]}. "
            f"Define it before the handlers, or call {model.__name__}.model_rebuild() where it is known."
        ) from None
    schema = model.__pydantic_core_schema__
    if schema["type"] == "definitions":
        return schema["schema"], {definition["ref"]: definition for definition in schema["definitions"]}
    return schema, {}


@contextmanager
def rebuilt(models: list[type[BaseModel]]) -> Iterator[None]:
    """pydantic-core takes the validator that a complete class has already, whatever schema it is given."""
    for model in models:
        model.__pydantic_complete__ = False
    try:
        yield
    finally:
        for model in models:
            model.__pydantic_complete__ = True


def extended(
    schema: CoreSchema,
    model: type[BaseModel],
    fields: Mapping[str, Any],
    definitions: Mapping[str, CoreSchema],
    *,
    as_written: bool = False,
) -> CoreSchema:
    """A copy of the schema of ``model`` with ``fields`` added to its own; validators around it stay.

    ``as_written``: it reads what the model itself writes.
    """
    node = cast(dict[str, Any], copy(schema))
    if node["type"] == "definition-ref":
        return extended(definitions[node["schema_ref"]], model, fields, definitions, as_written=as_written)
    # The copy is another schema than the one that other models may refer to.
    node.pop("ref", None)
    if node["type"] == "model-fields":
        own = _as_written(node) if as_written else node["fields"]
        node["fields"] = {**own, **fields}
        return cast(CoreSchema, node)
    if node.get("root_model") or node.get("custom_init") or "schema" not in node:
        raise ConfigurationError(
            f"{place_of(model)} cannot be a message: a message is a model with fields, without an __init__ of its own."
        )
    node["schema"] = extended(node["schema"], model, fields, definitions, as_written=as_written)
    return cast(CoreSchema, node)


COMPUTED: Final = "<computed>"
"""What the names begin with under which a validator leaves the values of computed fields."""


def _as_written(node: dict[str, Any]) -> dict[str, Any]:
    """The fields of a model under the names that it writes, and its computed ones, to be read and left."""
    fields: dict[str, Any] = {}
    for name, field in node["fields"].items():
        fields[name] = {**field, "validation_alias": field.get("serialization_alias", name)}
    for field in node.get("computed_fields", ()):
        name = field["property_name"]
        fields[COMPUTED + name] = core_schema.model_field(
            core_schema.with_default_schema(core_schema.any_schema(), default=None),
            validation_alias=field.get("alias", name),
        )
    return fields


def names_of(models: Iterable[type[BaseModel]]) -> Iterator[str]:
    """Every name that pydantic may put into a location for a place that the schema knows."""
    for name, field in fields_of(models):
        yield name
        alias = field.get("validation_alias", ())
        paths = alias if isinstance(alias, list) else [[alias]]
        yield from (part for path in paths for part in path if isinstance(part, str))


# The keys of a core schema under which other core schemas stand.
_NESTED: Final = {
    "schema", "definitions", "choices", "items_schema", "keys_schema", "values_schema", "extras_schema", "steps",
    "json_schema", "python_schema", "lax_schema", "strict_schema", "arguments_schema", "computed_fields",
    "return_schema",
}  # fmt: skip


def fields_of(models: Iterable[type[BaseModel]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields, wherever they stand in the core schemas of ``models``, as pydantic-core has them."""
    todo: list[Any] = [model.__pydantic_core_schema__ for model in models]
    while todo:
        node = todo.pop()
        if isinstance(node, list | tuple):
            todo.extend(node)
        elif isinstance(node, dict) and isinstance(node.get("type"), str):
            if node["type"] in {"model-fields", "typed-dict", "dataclass-args"}:
                members = node["fields"]
                pairs = (
                    members.items() if isinstance(members, dict) else ((one["name"], one) for one in members)
                )
                for name, field in pairs:
                    yield name, field
                    todo.append(field)
            elif node["type"] == "computed-field":
                yield node["property_name"], node
            todo.extend(node[key] for key in node.keys() & _NESTED)
            if node["type"] == "tagged-union":
                todo.extend(node["choices"].values())
