"""Masking words in any script: what a word is, when two are the same, and the search for many at once."""

import functools
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Final

from protocol.exceptions import ConfigurationError
from protocol.transforms.text import TextTransform

_Trie = dict[str, "_Trie"]

_END: Final = ""
"""The key in a trie that says: an entry ends here. No token is compared as an empty string."""

# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt): zero-width joiners, soft hyphens …
_INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
_INVISIBLE_ASTRAL: Final = "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
_INVISIBLES: Final = re.compile(f"[{_INVISIBLE}{_INVISIBLE_ASTRAL}]+")

# Scripts that write no spaces between words.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Thai, Lao, Myanmar
    "\u1780-\u17b3\u17b6-\u17ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf"  # Tai Le, New Tai Lue, Tai Tham, Tai Viet
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Hiragana, Katakana, half-width Katakana
    "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)

_ASCII_TOKENS: Final = re.compile(r"[a-z0-9_]++|[^\sa-z0-9_]")
"""What :func:`_token_pattern` matches in lower-case ASCII, at half the cost."""


class Censor(TextTransform):
    """Masks listed words, each by as many ``mask`` as it has characters, so the text keeps its length.

    A *word* is a run of letters, digits and underscores; marks and invisible characters (zero-width joiners,
    soft hyphens) belong to the character before them. "damn" is in "damn's" and "god-damn", and is not in
    "damned" or "damn_it". In scripts that write no spaces (Han, Kana, Thai, Lao, Myanmar, Khmer, the Tai
    scripts) each character is a word. An entry may be several words and may contain punctuation: between its
    parts there may then be any white space, which is masked with them.

    Two words are *the same* by Unicode's compatibility caseless matching (section 3.13, D146): without regard
    to case, to full-width and other presentation forms, and to invisible characters. Accents count, and a
    letter that merely looks like another is another one: this is a courtesy, not a moderator.

    Time is linear in the text, however many entries there are: each word is looked up in a hash table, and
    only the beginning of an entry of several words is worth a look at the next. A multi-pattern search such
    as Aho-Corasick would find the entries inside other words as well, only for these to be thrown away.
    """

    def __init__(
        self, words: Collection[str], *, mask: str = "*", fields: Collection[str] | None = None
    ) -> None:
        super().__init__(fields=fields)
        if isinstance(words, str):
            raise ConfigurationError(f"Censor takes a collection of words: write Censor([{words!r}]).")
        if len(mask) != 1 or mask == "_" or unicodedata.category(mask)[0] not in "PS":
            raise ConfigurationError(
                f"A mask is one punctuation mark or symbol other than '_', not {mask!r}."
            )
        self._mask = mask
        self._pattern = _token_pattern()
        self._entries: _Trie = {}
        self._longest = 0
        for word in words:
            self._add(word)

    def _add(self, word: str) -> None:
        tokens = [_folded(_INVISIBLES.sub("", token)) for token in self._pattern.findall(word)]
        if not tokens:
            raise ConfigurationError(
                f"Censor cannot mask {word!r}: there is nothing to see. Remove the entry."
            )
        if _folded(self._mask) in tokens:
            raise ConfigurationError(
                f"Censor cannot mask {word!r} by {self._mask!r}, which is a part of it. Choose another mask."
            )
        node = self._entries
        for token in tokens:
            node = node.setdefault(token, {})
            self._longest = max(self._longest, len(token))
        node[_END] = {}

    def edit(self, text: str) -> str:
        if text.isascii():
            pattern, searched = _ASCII_TOKENS, text.lower()
            tokens = pattern.findall(searched)
        else:
            pattern, searched = self._pattern, text
            tokens = self._compared(text)
        if self._entries.keys().isdisjoint(tokens):
            return text
        spans = [match.span() for match in pattern.finditer(searched)]
        pieces: list[str] = []
        done = first = 0
        while first < len(tokens):
            after = self._match(tokens, first)
            if after > first:
                start, stop = spans[first][0], spans[after - 1][1]
                pieces += text[done:start], self._mask * (stop - start)
                done = stop
            first = max(after, first + 1)
        pieces.append(text[done:])
        return "".join(pieces)

    def _match(self, tokens: Sequence[str], first: int) -> int:
        """The end of the longest entry that begins at ``first``; ``first`` itself where none does."""
        node, after = self._entries, first
        for index in range(first, len(tokens)):
            found = node.get(tokens[index])
            if found is None:
                break
            node = found
            if _END in node:
                after = index + 1
        return after

    def _compared(self, text: str) -> list[str]:
        """The tokens of ``text`` in the form in which they are compared."""
        tokens: list[str] = self._pattern.findall(text)
        if _INVISIBLES.search(text):
            tokens = [_INVISIBLES.sub("", token) for token in tokens]
        # Folding shortens nothing, so a longer token is no entry; and it sorts marks in quadratic time.
        return [_folded(token) if len(token) <= self._longest else token for token in tokens]


def _folded(text: str) -> str:
    """Return ``text`` so that equal results mean the same word; never shorter."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


@functools.cache
def _token_pattern() -> re.Pattern[str]:
    """Matches the tokens of a text: words, and every visible character that is neither word nor white space.

    Linear, because nothing can fail behind a repetition.
    """
    marks = [code for code in range(0x20000) if unicodedata.category(chr(code)).startswith("M")]
    basic = _ranges(code for code in marks if code <= 0xFFFF)
    astral = _ranges(code for code in marks if code > 0xFFFF)
    # What belongs to the character before it, half-width voicing marks too. ``re`` has a bitmap for the basic
    # plane only, and would try the other ranges one by one.
    joined = rf"(?:[{_INVISIBLE}{basic}\uff9e\uff9f]|(?=[^\0-\uffff])[{_INVISIBLE_ASTRAL}{astral}])"
    letter = rf"[^\W{_UNSPACED}{_INVISIBLE}]"
    return re.compile(rf"{letter}++(?:{joined}++{letter}*+)*+|(?!{joined})(?:[{_UNSPACED}]{joined}*+|\S)")


def _ranges(codes: Iterable[int]) -> str:
    """The set of ascending code points in the syntax of ``re``."""
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
