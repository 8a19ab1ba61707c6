"""The reference chat under the fuzzer, and copies of it that are wrong."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase

from protocol.exceptions import ConfigurationError
from protocol.fuzzing import CheckFailed, fuzz_test, verify
from protocol.fuzzing.arena import headers_of
from protocol.testing import replay
from protocol.testing.comparison import first_difference
from protocol.testing.steps import Connect, Send
from protocol.testing.transcript import Exchange, Transcript
from tests.fuzz import wrong_chat
from tests.fuzz.chat import create_app, login

FOUND = Path(__file__).parent / "transcripts" / "chat"

test_the_chat_keeps_its_promises = fuzz_test(create_app, clients=3, login=login, max_examples=300)

test_the_chat_keeps_its_promises_for_long = pytest.mark.long(
    fuzz_test(create_app, clients=3, login=login, max_examples=20_000)
)

test_the_small_chat_keeps_its_promises = fuzz_test(wrong_chat.create_app, max_examples=60)


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.json")), ids=lambda path: path.stem)
def test_what_the_fuzzer_has_found_stays_mended(path: Path) -> None:
    transcript = Transcript.load(path)
    verify(create_app, transcript, login=login)
    assert (
        first_difference(transcript, replay(transcript, create_app, path="/ws", headers=headers_of(login)))
        is None
    )


def test_publishing_without_membership_is_found() -> None:
    test = fuzz_test(wrong_chat.for_outsiders, max_examples=1000)
    with pytest.raises(CheckFailed, match=r"^isolation: .* is not in '.*', and what it sent reached"):
        test()


def test_a_member_that_stays_behind_is_found() -> None:
    test = fuzz_test(wrong_chat.haunted, max_examples=1000)
    with pytest.raises(CheckFailed, match=r"^clean_room: Everybody had left"):
        test()


def test_who_gets_in_nowhere_has_tested_nothing() -> None:
    with pytest.raises(
        ConfigurationError, match=r"none of \d+ connections was served, most were refused with 401"
    ):
        fuzz_test(create_app, max_examples=5)()


def test_what_failed_is_remembered_for_each_application() -> None:
    remembered = InMemoryExampleDatabase()
    before = settings.get_current_profile_name()
    settings.register_profile("remembering", parent=settings(), database=remembered)
    settings.load_profile("remembering")
    try:
        with pytest.raises(CheckFailed):
            fuzz_test(wrong_chat.haunted, only=["clean_room"], max_examples=200)()
        failed = {key: set(examples) for key, examples in remembered.data.items() if examples}
        fuzz_test(wrong_chat.create_app, only=["clean_room"], max_examples=5)()
    finally:
        settings.load_profile(before)
    assert failed
    assert {key: set(remembered.data[key]) for key in failed} == failed


def test_a_check_can_be_switched_off() -> None:
    fuzz_test(wrong_chat.haunted, without=["clean_room", "no_growth"], max_examples=20)()


def test_a_transcript_is_held_to_the_checks() -> None:
    join = '{"type":"join","room":"a","id":1}'
    transcript = Transcript((Exchange(Connect(0)), Exchange(Send(0, join))))
    verify(wrong_chat.create_app, transcript)
    with pytest.raises(CheckFailed, match=r"^clean_room: Everybody had left"):
        verify(wrong_chat.haunted, transcript)
