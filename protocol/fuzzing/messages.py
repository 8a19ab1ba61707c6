"""The strategy for valid messages, as wire values."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import BaseModel

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.grammar import Grammar
from protocol.fuzzing.jsonschema import with_tag
from protocol.fuzzing.overrides import Override, Overrides
from protocol.fuzzing.strategies import from_schema

if TYPE_CHECKING:
    from protocol.application import MessageProtocol

_ATTEMPTS: Final = 5
_PATIENCE: Final = 100
_HOPELESS: Final = 0.02


def messages(
    target: "MessageProtocol | Grammar",
    *types: type[BaseModel] | str,
    overrides: Mapping[Any, Override] | None = None,
) -> SearchStrategy[dict[str, Any]]:
    """Valid inbound messages of ``target``: JSON objects, body and envelope as one, ready for ``json.dumps``.

    ``types`` are message classes or tags; without any, all that the protocol receives. Strings that are bound in
    the same way (a room in two message types) often have the same value within a test case, so messages meet.

    ``overrides`` are strategies of your own, for what a schema cannot say. A value may be a Python object where
    pydantic knows how to write it (``st.uuids()``). A key is one of

    - a class, or its name or tag, with strategies by the name of the field on the wire: ``{Say: {"text": …}}``;
    - one such place as a string: ``{"Say.text": …}``, or ``{"*.text": …}`` for every field of that name;
    - a type, for every place whose schema is that of the type: ``{UUID: …}``, ``{RoomName: …}``;
    - a format of JSON Schema: ``{"phone": …}``.

    Every message is valid by the word of ``target`` itself: what a validator of yours refuses is not yielded.
    Raises ``ConfigurationError`` for a type that is not received, an override without a place, a pattern that
    cannot be read; and, while drawing, hypothesis' ``Unsatisfiable`` where less than one in fifty is accepted.
    """
    grammar = Grammar.of(target)
    return tagged_messages(grammar, grammar.tags(types), overrides).map(lambda pair: pair[1])


def tagged_messages(
    grammar: Grammar, tags: list[str], overrides: Mapping[Any, Override] | None
) -> SearchStrategy[tuple[str, dict[str, Any]]]:
    """Valid messages of ``tags``, each with its tag."""
    if not tags:
        raise ConfigurationError("There is no message to generate: the protocol receives none.")
    found = Overrides(overrides or {}, grammar.schemas)
    made = {tag: from_schema(with_tag(grammar.schemas[tag], tag), found, name=tag) for tag in tags}
    return st.one_of([_accepted(grammar, tag, made[tag]) for tag in tags])


def _accepted(
    grammar: Grammar, tag: str, candidates: SearchStrategy[Any]
) -> SearchStrategy[tuple[str, dict[str, Any]]]:
    """Those of ``candidates`` that the grammar does not object to, each with its tag."""
    tried = accepted = 0

    @st.composite
    def message(draw: DrawFn) -> tuple[str, dict[str, Any]]:
        nonlocal tried, accepted
        last = ""
        for _ in range(_ATTEMPTS):
            candidate: dict[str, Any] = draw(candidates)
            text = json.dumps(candidate, ensure_ascii=False)
            objection = grammar.objection(text) if grammar.fits(text) else "It is too long for a frame."
            tried += 1
            if objection is None:
                accepted += 1
                return tag, candidate
            last = f"The last one, {candidate!r}, was refused: {objection}"
        # Only here, where every draw is done, may the outcome depend on what was drawn before.
        if tried < _PATIENCE or accepted >= tried * _HOPELESS:
            return reject()
        raise Unsatisfiable(
            f"Only {accepted} of {tried} generated {tag!r} messages were valid. {last} "
            f"Give a strategy for what the schema does not say: overrides={{'{tag}.field': …}}."
        )

    return message()
