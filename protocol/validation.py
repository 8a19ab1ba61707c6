"""What pydantic's complaint about a frame becomes on the wire.

A :class:`protocol.exceptions.RemoteProtocolError`: bounded in size, without any of the input and without
internals. Only the path of bad frames comes here.
"""

import re
from collections.abc import Set as AbstractSet
from typing import Any, Final, get_args

from pydantic_core import ErrorDetails, ValidationError, from_json
from pydantic_core.core_schema import ErrorType

from protocol.envelope import readable_id
from protocol.exceptions import InvalidMessage, MalformedFrame, RemoteProtocolError, UnknownType
from protocol.types import Ref

MAX_ERRORS: Final = 5
MANY: Final = 1000
MAX_JSON: Final = 1 << 13
MAX_MSG: Final = 80
MAX_DEPTH: Final = 6
MAX_NAME: Final = 32

# Pydantic puts input into the text of these, so they get a text of our own.
_TELLING: Final = {
    "union_tag_invalid": "Input does not match any of the expected tags",
    "unexpected_keyword_argument": "Unexpected argument",
    "multiple_argument_values": "Got multiple values for argument",
    "zoneinfo_str": "Input is not a known time zone",
    "byte_size_unit": "Input has no known unit of bytes",
    "import_error": "Input cannot be imported",
}
# Texts of everything else are an application's, or come from Python's own library, and may have input in them.
_FIXED: Final = frozenset(get_args(ErrorType)) - {"value_error", "assertion_error"}
_QUOTED = re.compile("""['"](.+?)['"]""")


def refused(
    error: ValidationError, body: str | bytes, *, known: AbstractSet[str], discriminator: str, id: str | None
) -> RemoteProtocolError:
    """Turn ``error``, raised by validating ``body`` against a tagged union, into the answer.

    ``known`` are the names that may be shown in a location; ``id`` is the name of the envelope's field.
    """
    details = _details(error)
    first = details[0]
    if first["type"] in {"json_invalid", "json_type", "string_unicode"} and not first["loc"]:
        return MalformedFrame("The frame is not valid JSON.", frame=body)
    ref = read_id(body, id)
    if not first["loc"]:
        if first["type"] == "union_tag_not_found":
            return UnknownType(f"The message has no {discriminator!r}.", id=ref, frame=body)
        if first["type"] == "union_tag_invalid":
            return UnknownType(
                f"The {discriminator!r} of the message is not one that is received.", id=ref, frame=body
            )
        if first["type"] in {"model_attributes_type", "model_type", "dict_type"}:
            return MalformedFrame("The frame is not a JSON object.", frame=body)
    shown = details[:MAX_ERRORS]
    if not all(detail["type"] in _FIXED for detail in shown):
        whole = from_json(body)
        for detail in shown:
            detail["input"] = _found(whole, detail["loc"][1:])
    return InvalidMessage(
        _summary(first, known, skip=1),
        errors=[_item(detail, known, skip=1) for detail in shown],
        id=ref,
        frame=body,
    )


def invalid(error: ValidationError, *, known: AbstractSet[str], id: Ref | None = None) -> InvalidMessage:
    """Turn an error that a validated message raised later, in a transform, into the answer."""
    details = _details(error, include_input=True)
    errors = [_item(detail, known) for detail in details[:MAX_ERRORS]]
    return InvalidMessage(_summary(details[0], known), errors=errors, id=id)


def _details(error: ValidationError, *, include_input: bool = False) -> list[ErrorDetails]:
    """What is wrong; of more than a thousand items only the first, so that a hostile frame costs little.

    The input of a frame is not included: each could be the whole of it. Pydantic makes objects of all errors or none,
    and writes them as JSON in a tenth of the time.
    """
    if error.error_count() < MANY:
        return error.errors(include_url=False, include_context=False, include_input=include_input)
    text = error.json(include_url=False, include_context=False, include_input=False)
    found: list[ErrorDetails] = from_json(text[:MAX_JSON], allow_partial=True)
    return found[:-1] or [{"type": "too_many", "loc": (), "msg": "Too many errors", "input": None}]


def read_id(body: str | bytes, name: str | None) -> Ref | None:
    """The ``id`` of a message that is not valid, as far as it can be read."""
    if name is None:
        return None
    try:
        value = from_json(body)
    except ValueError:
        return None
    return readable_id(value.get(name)) if isinstance(value, dict) else None


def _item(detail: ErrorDetails, known: AbstractSet[str], *, skip: int = 0) -> dict[str, Any]:
    """One entry of an error frame's ``errors``; ``skip`` leading parts of the location are the union's."""
    return {"loc": _shown(detail, known, skip), "type": detail["type"], "msg": _text(detail)}


def _summary(detail: ErrorDetails, known: AbstractSet[str], *, skip: int = 0) -> str:
    """One sentence for a person."""
    loc = ".".join(map(str, _shown(detail, known, skip)))
    return f"{loc}: {_text(detail)}" if loc else _text(detail)


def _shown(detail: ErrorDetails, known: AbstractSet[str], skip: int) -> list[str | int]:
    parts = detail["loc"][skip : skip + MAX_DEPTH]
    return [part if isinstance(part, int) else part[:MAX_NAME] if part in known else "?" for part in parts]


def _text(detail: ErrorDetails) -> str:
    text = _TELLING.get(detail["type"], detail["msg"])
    if detail["type"] not in _FIXED and _tells(text, detail.get("input")):
        text = "Input is not valid"
    return text if len(text) <= MAX_MSG else text[: MAX_MSG - 1] + "…"


def _tells(text: str, value: object) -> bool:
    """Whether ``text`` quotes ``value`` or a part of it, or has its beginning in it."""
    if not isinstance(value, str):
        return False
    shown = repr(value)[1:-1]
    return any(quoted in value or quoted in shown for quoted in _QUOTED.findall(text)) or any(
        len(one) >= 3 and one[:20] in text for one in (value, shown)
    )


def _found(value: Any, loc: tuple[int | str, ...]) -> Any:
    """The part of a body that a location speaks of; steps that are no members of it are names of validators."""
    for step in loc:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            continue
    return value
