"""The format of transcripts, and when two of them say the same."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.testing.comparison import first_difference
from protocol.testing.steps import (
    FAULTS,
    Burst,
    Close,
    Connect,
    Drop,
    Fault,
    Pause,
    Reference,
    Resume,
    Seed,
    Send,
    Step,
    Vanish,
    Wait,
)
from protocol.testing.transcript import Barrier, Exchange, Transcript

WHOLE = Transcript(
    (
        Exchange(Connect(0)),
        Exchange(Connect(1, "/ws/a"), {1: ('{"type":"joined"}',)}, refused={2: 403}),
        Exchange(Send(0, '{"type":"say","text":"hé"}'), {0: ('{"type":"ack"}', "no json"), 1: (b"\xff",)}),
        Exchange(Send(0, '{"type": "spaced"}')),
        Exchange(Send(0, b"\x00\x01"), closed={0: (3501, "bad request")}, silent=frozenset({1})),
        Exchange(Burst((Send(0, "{}"), Send(1, "{"))), crashed={1: "ValueError()"}),
        Exchange(Pause(1)),
        Exchange(Resume(1)),
        Exchange(Wait(1.5)),
        Exchange(Drop(0)),
        Exchange(Close(1)),
        Exchange(Connect(2, "/ws/a", 1, "a", '{"type":"hello"}')),
        Exchange(Seed(7)),
        Exchange(Fault("crash", 1), closed={2: (1006, "")}),
        Exchange(Fault("delay", 0, 2.5)),
        Exchange(Fault("isolate", 0, after=0.25)),
        Exchange(Vanish(2)),
    ),
    title="everything",
    check="order",
    explanation="why",
    barrier=Barrier({"type": "ping"}),
    room="room",
    fixed=frozenset({"lobby"}),
    varying=frozenset({"epoch"}),
    nodes=2,
)

CLIENTS = st.integers(0, 3)
FRAMES = st.one_of(
    st.text(st.characters(codec="utf-8")), st.binary(), st.just('{"a":1,"a":2}'), st.just('{"a":NaN}')
)
REFERENCES = st.builds(Reference, st.lists(st.text(), min_size=1).map(tuple), st.text(), st.integers(0, 3))
SENDS = st.builds(Send, CLIENTS, FRAMES, st.lists(REFERENCES, max_size=2).map(tuple))
STEPS: st.SearchStrategy[Step] = st.one_of(
    SENDS,
    st.builds(
        Connect,
        CLIENTS,
        st.none() | st.text(),
        st.none() | st.integers(0, 2),
        st.none() | st.text(),
        st.none() | FRAMES,
    ),
    st.builds(Fault, st.sampled_from(FAULTS), st.integers(0, 2), st.none() | st.floats(0, 100)),
    st.builds(Seed, st.integers(0)),
    st.builds(Burst, st.lists(SENDS, min_size=1, max_size=3).map(tuple)),
    st.builds(Close, CLIENTS),
    st.builds(Wait, st.floats(0, 100)),
)


def test_a_transcript_survives_json() -> None:
    assert Transcript.from_json(json.loads(json.dumps(WHOLE.to_json()))) == WHOLE


def test_a_transcript_survives_a_file(tmp_path: Path) -> None:
    WHOLE.save(tmp_path / "inner" / "whole.json")
    assert Transcript.load(tmp_path / "inner" / "whole.json") == WHOLE


def test_lone_surrogates_survive_a_file(tmp_path: Path) -> None:
    escaped = Exchange(Send(0, '{"a":"\\ud800"}'), {0: ('{"a":"\ud800"}', '["\\ud800"]', "\udfff")})
    transcript = Transcript((escaped,), title="\ud800 is no character")
    transcript.save(tmp_path / "lone.json")
    assert Transcript.load(tmp_path / "lone.json") == transcript


@given(
    st.lists(st.builds(Exchange, STEPS, st.dictionaries(CLIENTS, st.lists(FRAMES, min_size=1).map(tuple))))
)
def test_whatever_was_sent_and_received_survives_json(exchanges: list[Exchange]) -> None:
    transcript = Transcript(tuple(exchanges))
    assert Transcript.from_json(json.loads(json.dumps(transcript.to_json()))) == transcript


@pytest.mark.parametrize("value", [None, [], {}, {"format": "protocol.transcript/2", "exchanges": []}])
def test_what_is_no_transcript_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^No transcript: 'format' has to be 'protocol.transcript/1'.$"):
        Transcript.from_json(value)


def test_an_unknown_step_is_refused() -> None:
    value = {"format": "protocol.transcript/1", "exchanges": [{"do": "dance", "client": 0}]}
    with pytest.raises(ValueError, match=r"^No step of a transcript: 'do' is 'dance'.$"):
        Transcript.from_json(value)


def test_a_transcript_reads_as_a_story() -> None:
    assert str(WHOLE).splitlines() == [
        "  1  0 connects",
        "  2  1 connects to /ws/a",
        '       1 ← {"type":"joined"}',
        "       2 is refused with 403",
        '  3  0 → {"type":"say","text":"hé"}',
        '       0 ← {"type":"ack"}',
        "       0 ← no json",
        "       1 ← b'\\xff'",
        '  4  0 → {"type": "spaced"}',
        "  5  0 → b'\\x00\\x01'",
        "       0 is closed with 3501 bad request",
        "       1 gets no answer any more",
        "  6  at once: 0 → {}; 1 → {",
        "       1: the application raised ValueError()",
        "  7  1 stops reading",
        "  8  1 reads again",
        "  9  1.5 seconds pass",
        " 10  0 is gone without a close",
        " 11  1 closes",
        ' 12  2 connects to /ws/a at node 1 → {"type":"hello"}',
        " 13  what happens next is decided by the seed 7",
        " 14  node 1 crashes",
        "       2 is closed with 1006",
        " 15  publications take up to 2.5 seconds to node 0",
        " 16  node 0 is cut off from the others, 0.25 seconds into the next step",
        " 17  2 vanishes, and nobody knows",
    ]


def one(frame: str) -> Transcript:
    return Transcript((Exchange(Send(0, "{}"), {0: (frame,)}),))


@pytest.mark.parametrize(
    "expected, found",
    [
        ('{"a":1,"b":2}', '{"b": 2, "a": 1}'),
        ('{"at":"2026-11-24T09:00:00Z"}', '{"at":"2027-01-01T10:00:00.5+01:00"}'),
        ('{"id":"6f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9"}', '{"id":"00000000-0000-0000-0000-000000000000"}'),
        ('{"epoch":"k3","list":[{"error_id":"a"}]}', '{"epoch":"k4","list":[{"error_id":"b"}]}'),
    ],
)
def test_spelling_times_and_what_varies_make_no_difference(expected: str, found: str) -> None:
    assert first_difference(one(expected), one(found)) is None


def test_the_first_difference_is_told_with_its_step() -> None:
    assert first_difference(one('{"a":1}'), one('{"a":2}')) == (
        'Step 1, 0 → {}:\n  expected at 0: {"a":1}\n  found at 0:    {"a":2}'
    )


@pytest.mark.parametrize(
    "found, text",
    [
        (Exchange(Connect(0), closed={0: (1000, "")}), "an open connection|a close with 1000"),
        (Exchange(Connect(0), refused={0: 403}), "no refusal|403"),
        (Exchange(Connect(0), {0: ("{}",)}), "nothing|{}"),
    ],
)
def test_an_end_and_a_missing_frame_are_differences(found: Exchange, text: str) -> None:
    expected, got = text.split("|")
    assert first_difference(Transcript((Exchange(Connect(0)),)), Transcript((found,))) == (
        f"Step 1, 0 connects:\n  expected at 0: {expected}\n  found at 0:    {got}"
    )


def test_steps_that_could_not_be_played_are_a_difference() -> None:
    assert first_difference(one("{}"), Transcript()) == "1 steps were to be played, and 0 could be."
