"""The strategy for frames: valid ones, nearly valid ones, and garbage.

A mutation is tried on a valid message and kept only if the grammar then objects, so a label is never wrong.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import BaseModel

from protocol.fuzzing.grammar import Grammar
from protocol.fuzzing.jsonschema import Path
from protocol.fuzzing.messages import tagged_messages
from protocol.fuzzing.mutations import Mutation, mutated, written
from protocol.fuzzing.overrides import Override

if TYPE_CHECKING:
    from protocol.application import MessageProtocol


_READABLE: Final = 2_000


class Label(StrEnum):
    """What the receiver owes to a frame: to accept it, or to refuse it."""

    VALID = "valid"
    NEAR_VALID = "near_valid"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class GeneratedFrame:
    """One frame to send.

    Attributes:
        data: the payload; ``bytes`` are for a binary frame.
        label: whether it is valid.
        type: the tag of the valid message that it was made from; ``None`` where there was none.
        mutation: what was done to that message, for ``near_valid``.
        path: where it was done.
    """

    data: str | bytes
    label: Label
    type: str | None
    mutation: Mutation | None = None
    path: Path = ()

    def __repr__(self) -> str:
        """Without the middle of a long payload, which nobody would read."""
        data = repr(self.data)
        if len(data) > _READABLE:
            data = f"{data[: _READABLE // 2]}…{data[-_READABLE // 2 :]} ({len(self.data)} long)"
        made = f" from {self.type!r}" if self.type else ""
        done = f" by {self.mutation} at {list(self.path)}" if self.mutation else ""
        return f"<{self.label} frame{made}{done}: {data}>"


def frames(
    target: "MessageProtocol | Grammar",
    *types: type[BaseModel] | str,
    labels: Collection[Label] = tuple(Label),
    overrides: Mapping[Any, Override] | None = None,
) -> SearchStrategy[GeneratedFrame]:
    """Frames for ``target``, each with its label; ``labels`` limits which.

    ``valid`` frames spell one of :func:`protocol.fuzzing.messages` in one of the ways that JSON allows.
    ``near_valid`` ones have one :class:`Mutation` that makes them invalid, ``garbage`` is no message at all.
    A label is checked by ``target`` itself. ``types`` and ``overrides`` are those of ``messages``.
    """
    grammar = Grammar.of(target)
    valid = tagged_messages(grammar, grammar.tags(types), overrides)
    made = {
        Label.VALID: lambda: _valid(grammar, valid),
        Label.NEAR_VALID: lambda: _near_valid(grammar, valid),
        Label.GARBAGE: lambda: _garbage(grammar, valid),
    }
    return st.one_of([made[label]() for label in Label if label in labels])


Tagged = tuple[str, dict[str, Any]]

_ATTEMPTS: Final = 10


def _compact(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _backwards(message: dict[str, Any]) -> str:
    return json.dumps(dict(reversed(message.items())))


def _indented(message: dict[str, Any]) -> str:
    return json.dumps(message, indent="\t").replace("\n", "\r\n")


_SPELLINGS: Final = (_compact, json.dumps, _backwards, _indented)
"""Ways to write an object that mean the same: members in any order, escapes, white space."""


def _refused(grammar: Grammar, frame: str | bytes) -> bool:
    return grammar.fits(frame) and grammar.objection(frame) is not None


@st.composite
def _valid(draw: DrawFn, grammar: Grammar, valid: SearchStrategy[Tagged]) -> GeneratedFrame:
    tag, message = draw(valid)
    text = draw(st.sampled_from(_SPELLINGS))(message)
    return GeneratedFrame(text if grammar.fits(text) else _compact(message), Label.VALID, tag)


@st.composite
def _near_valid(draw: DrawFn, grammar: Grammar, valid: SearchStrategy[Tagged]) -> GeneratedFrame:
    tag, message = draw(valid)
    for _ in range(_ATTEMPTS):
        mutation = draw(st.sampled_from(Mutation))
        found = mutated(draw, mutation, grammar.schemas[tag], tag, message)
        if found is not None and _refused(grammar, found[0]):
            text, path = found
            return GeneratedFrame(text, Label.NEAR_VALID, tag, mutation, path)
    return reject()


_BROKEN: Final = (
    "", " ", "null", "true", "0", '""', '"type"', "[]", "[{}]", "{}", "{", "}", "[", "-", "nul", "NaN", "{'type': 1}",
    '{"type"}', '{"type":', '{"type": "x",}', "\ufeff{}", "/* */ {}", "\0", "[" * 60_000, '{"type":' * 7_500, "1" * 5_000,
)  # fmt: skip

_BREAKS: Final[tuple[Callable[[str], str | bytes], ...]] = (
    lambda text: text[:-1],
    lambda text: text[1:],
    lambda text: text[: len(text) // 2],
    lambda text: text + text,
    lambda text: text + ",",
    lambda text: f"[{text}]",
    lambda text: f"\ufeff{text}",
    lambda text: text.replace('"', "'"),
    lambda text: text.replace(":", "="),
    lambda text: f'{text[:-1]}, "": NaN}}',
    lambda text: f'{text[:-1]}, "": 1e}}',
    lambda text: f'{text[:-1]}, "": "\\ud800"}}',
    lambda text: f'{text[:-1]}, "": "\t"}}',
    lambda text: f'{text[:-1]}, "": {"[" * 1_000}{"]" * 1_000}}}',
    json.dumps,
    str.encode,
)


@st.composite
def _garbage(draw: DrawFn, grammar: Grammar, valid: SearchStrategy[Tagged]) -> GeneratedFrame:
    tag: str | None = None
    data: str | bytes
    for _ in range(_ATTEMPTS):
        kind = draw(st.sampled_from(["broken", "derived", "random"]))
        if kind == "derived":
            tag, message = draw(valid)
            data = draw(st.sampled_from(_BREAKS))(written(message))
        else:
            tag, data = None, draw(st.sampled_from(_BROKEN) if kind == "broken" else _RANDOM)
        if _refused(grammar, data):
            return GeneratedFrame(data, Label.GARBAGE, tag)
    return reject()


_RANDOM: Final[SearchStrategy[str | bytes]] = st.one_of(st.text(max_size=32), st.binary(max_size=32))
