"""What the censor masks and what it leaves, in many scripts, against hostile text, and in linear time."""

import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import Message
from protocol.transforms import Censor
from protocol.transforms.censor import _ASCII_TOKENS, _folded, _token_pattern
from tests.misdeclared import refusal

CENSOR = Censor(["damn", "crap", "bloody"])

ALPHABET = {
    **dict.fromkeys("aAbcsßçſａ1_न", "letter"),
    **dict.fromkeys("你好バﾊ+-*😀", "alone"),
    **dict.fromkeys("\u0301\u0327ीﾞ\u200b\ufe0f\u3164", "joined"),
    **dict.fromkeys(" \n\u3000", "space"),
}
"""Characters in which words are written here, and what the next character makes of each."""

WORDS = st.lists(
    st.sampled_from(["a", "ab", "b", "a b", "b a b", "ß", "ça", "s", "你", "你好", "バ", "c++", "नी", "b-a"])
)
TEXTS = st.text(st.sampled_from(list(ALPHABET)) | st.characters())


@pytest.mark.parametrize(
    "text,masked",
    [
        ("damn", "****"),
        ("Damn, what a BLOODY mess.", "****, what a ****** mess."),
        ("damn's god-damn (damn) damn!", "****'s god-**** (****) ****!"),
        ("damn\ncrap\tbloody", "****\n****\t******"),
        ("damned goddamn damn1 1damn damn_it", None),
        ("scrap, crappy, scraping", None),
        ("", None),
        ("d a m n", None),
    ],
)
def test_whole_words_are_masked(text: str, masked: str | None) -> None:
    assert CENSOR.edit(text) == (text if masked is None else masked)


@pytest.mark.parametrize(
    "word,text,masked",
    [
        ("дурак", "Ты ДУРАК, дурака", "Ты *****, дурака"),
        ("βλάκας", "ΒΛΆΚΑΣ βλάκας", "****** ******"),  # the two small sigmas are the same letter
        ("حمار", "يا حمار! حمارة", "يا ****! حمارة"),
        ("טיפש", "טיפש טיפשה", "**** טיפשה"),
        ("गधा", "वह गधा है, गधापन", "वह *** है, गधापन"),  # the vowel sign is a mark
        ("की", "किताब की", "किताब **"),
        ("바보", "바보 바보야", "** 바보야"),
        ("傻逼", "你是傻逼吗", "你是**吗"),
        ("バカ", "このバカ野郎", "この**野郎"),
        ("ばか", "おばかさん", "お**さん"),
        ("โง่", "คนโง่มาก", "คน***มาก"),
        ("ngốc", "đồ NGỐC", "đồ ****"),
        ("straße", "STRASSE Straße", "******* ******"),
        ("strasse", "Straße!", "******!"),
        ("i̇", "a İ b", "a * b"),
        ("damn", "İİİ damn ßßß damn", "İİİ **** ßßß ****"),
    ],
)
def test_words_of_any_script_are_masked(word: str, text: str, masked: str) -> None:
    assert Censor([word]).edit(text) == masked


@pytest.mark.parametrize(
    "text,masked",
    [
        ("ｄａｍｎ ＤＡＭＮ", "**** ****"),
        ("𝐝𝐚𝐦𝐧 𝒟𝒶𝓂𝓃", "**** ****"),
        ("da\u200bmn", "*****"),
        ("da\u200d\u00admn\u2060", "*******"),
        ("\u202edamn\u202c", "\u202e*****"),
        ("\ufe0fdamn", "\ufe0f****"),
        ("❤️damn❤️", "❤️****❤️"),
        ("d\u3164amn", "*****"),
        ("dämn", None),
        ("da\u0308mn", None),
        ("damn\u0301", None),
        ("dаmn", None),  # a Cyrillic а
    ],
)
def test_presentation_does_not_hide_a_word_and_accents_make_another(text: str, masked: str | None) -> None:
    assert CENSOR.edit(text) == (text if masked is None else masked)


def test_composed_and_decomposed_letters_are_the_same() -> None:
    for word in ("\u00e7a", "c\u0327a"):
        assert Censor([word]).edit("\u00c7A c\u0327a ca") == "** *** ca"
    assert Censor(["バカ"]).edit("ﾊﾞｶ") == "***"


def test_an_entry_of_several_words_is_masked_with_what_is_between() -> None:
    censor = Censor(["shut up", "shut", "c++", "up yours now"])
    assert censor.edit("Shut  up, SHUT\nUP") == "********, *******"
    assert censor.edit("shut, up") == "****, up"
    assert censor.edit("shut upwards") == "**** upwards"
    assert censor.edit("C++ c + +") == "*** *****"
    assert censor.edit("up yours, up yours now") == "up yours, ************"
    assert censor.edit("shut up yours now") == "******* yours now"


def test_another_mask_may_be_chosen() -> None:
    assert Censor(["damn"], mask="█").edit("damn!") == "████!"


def test_no_words_mask_nothing() -> None:
    assert Censor([]).edit("damn ß") == "damn ß"


def test_messages_are_changed_in_their_text_fields() -> None:
    class Private(Message, type="private"):
        to: str
        text: str

    censor = Censor(["damn"], fields=["text"])
    assert censor.covers(Private) == ("text",)
    assert censor(Private(to="damn", text="oh damn")) == Private(to="damn", text="oh ****")
    message = Private(to="damn", text="oh dear")
    assert censor(message) is message


@given(WORDS, TEXTS)
def test_masking_keeps_the_length_and_changes_nothing_but_what_it_masks(words: list[str], text: str) -> None:
    masked = Censor(words).edit(text)
    assert len(masked) == len(text)
    assert all(new in (old, "*") for old, new in zip(text, masked, strict=True))


@given(WORDS, TEXTS)
def test_masking_twice_is_masking_once(words: list[str], text: str) -> None:
    censor = Censor(words)
    masked = censor.edit(text)
    assert censor.edit(masked) is masked


ASSIGNED = [
    chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) not in {"Cn", "Co", "Cs"}
]


def tokens(text: str) -> list[tuple[int, int, str]]:
    """The tokens of a text out of ``ALPHABET``, one character at a time."""
    found: list[tuple[int, int]] = []
    kind = "space"
    for index, character in enumerate(text):
        before, kind = kind, ALPHABET[character]
        if kind == "joined" or kind == before == "letter":
            kind = before
            if before != "space":
                found[-1] = found[-1][0], index + 1
        elif kind != "space":
            found.append((index, index + 1))
    return [(start, stop, compared(text[start:stop])) for start, stop in found]


def compared(token: str) -> str:
    visible = "".join(character for character in token if character not in "\u200b\ufe0f\u3164")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())


@given(WORDS, st.text(st.sampled_from(list(ALPHABET))))
def test_a_text_is_masked_as_a_plain_search_from_left_to_right_says(words: list[str], text: str) -> None:
    entries = {tuple(part for _, _, part in tokens(word)) for word in words}
    found = tokens(text)
    expected = list(text)
    first = 0
    while first < len(found):
        sizes = [n for n in (3, 2, 1) if tuple(part for _, _, part in found[first : first + n]) in entries]
        if sizes:
            start, stop = found[first][0], found[min(first + sizes[0], len(found)) - 1][1]
            expected[start:stop] = "*" * (stop - start)
        first += sizes[0] if sizes else 1
    assert Censor(words).edit(text) == "".join(expected)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_finds_the_same_words(text: str) -> None:
    assert _ASCII_TOKENS.findall(text.lower()) == _token_pattern().findall(text.lower())


def test_every_mark_belongs_to_the_character_before_it() -> None:
    for mark in (character for character in ASSIGNED if unicodedata.category(character).startswith("M")):
        assert _token_pattern().findall(f"a{mark}b {mark}!{mark}") == [f"a{mark}b", "!"]


def test_comparing_is_compatibility_caseless_matching() -> None:
    def unicode_d146(text: str) -> str:
        folded = unicodedata.normalize("NFD", text).casefold()
        return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())

    for character in ASSIGNED:
        folded = _folded(character)
        assert folded == unicode_d146(character) == _folded(folded) != ""


class Counting(dict[str, Any]):
    """A trie that counts how often it is asked, at every depth."""

    asked = 0

    def __init__(self, trie: dict[str, Any]) -> None:
        super().__init__({token: Counting(below) for token, below in trie.items()})

    def get(self, token: str, default: Any = None) -> Any:
        Counting.asked += 1
        return super().get(token, default)


def lookups(censor: Censor, text: str) -> int:
    censor._entries = Counting(censor._entries)
    Counting.asked = 0
    censor.edit(text)
    return Counting.asked


@pytest.mark.parametrize(
    "text",
    [
        "a" * 65_536,
        "a " * 32_768,
        "w77 " * 16_384,
        "w77 w78 " * 8_192,
        "!" * 65_536,
        "你" * 21_845,
        "a\u200b" * 16_384,
    ],
)
def test_the_number_of_entries_does_not_matter(text: str) -> None:
    few = lookups(Censor(["a", "w77 x"]), text)
    many = lookups(Censor(["a", *(f"w{n} x" for n in range(10_000))]), text)
    assert few <= many <= 2 * len(text)


@pytest.mark.parametrize("unit", ["a ", "b ", "a b ", "你", "a\u0301 "])
def test_twice_the_text_is_twice_the_lookups(unit: str) -> None:
    words = ["a b a b a c", "b b b b c", "你你你你好", "a\u0301 a"]
    once, twice = lookups(Censor(words), unit * 4000), lookups(Censor(words), unit * 8000)
    assert 1.9 <= twice / once <= 2.1
    assert twice <= 6 * len(unit * 8000)


def test_a_long_pile_of_marks_is_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def folded(text: str) -> str:
        sizes.append(len(text))
        return _folded(text)

    censor = Censor(["damn"])
    monkeypatch.setattr("protocol.transforms.censor._folded", folded)
    assert censor.edit("damn ä a" + "\u0300\u0316" * 20_000) == "**** ä a" + "\u0300\u0316" * 20_000
    assert max(sizes) <= 4


def test_a_censor_of_many_words_still_masks_them() -> None:
    assert Censor([f"w{n}" for n in range(10_000)]).edit("w9999 w10000") == "***** w10000"


@pytest.mark.parametrize("words", ["damn", ""])
def test_words_must_be_a_collection(words: str) -> None:
    assert refusal(lambda: Censor(words)) == f"Censor takes a collection of words: write Censor([{words!r}])."


@pytest.mark.parametrize("word", ["", " \n", "\u200b", "\u3164", "\u0301"])
def test_an_entry_must_be_visible(word: str) -> None:
    assert refusal(lambda: Censor(["damn", word])) == (
        f"Censor cannot mask {word!r}: there is nothing to see. Remove the entry."
    )


@pytest.mark.parametrize("word", ["f*ck", "＊"])
def test_the_mask_must_not_be_a_part_of_an_entry(word: str) -> None:
    assert refusal(lambda: Censor([word])) == (
        f"Censor cannot mask {word!r} by '*', which is a part of it. Choose another mask."
    )
    assert Censor(["f*ck"], mask="#").edit("oh f*ck") == "oh ####"


@pytest.mark.parametrize("mask", ["", "**", "x", "_", "1", " ", "\u200b", "\u0301", "你"])
def test_a_mask_must_not_make_new_words(mask: str) -> None:
    assert refusal(lambda: Censor(["damn"], mask=mask)) == (
        f"A mask is one punctuation mark or symbol other than '_', not {mask!r}."
    )
