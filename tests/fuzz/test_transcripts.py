"""The stored transcripts, one for each planted bug: they are played again, and show the bug and nothing else."""

import logging
from collections.abc import Iterator

import pytest

from protocol.fuzzing import CheckFailed, verify
from protocol.testing import replay
from protocol.testing.comparison import first_difference
from protocol.testing.transcript import Transcript
from tests.fuzz.shortest import FOLDER, program_of
from tests.fuzz.table import NAMES, contract_of, planted


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Handlers that fail are logged, and here they have to."""
    with caplog.at_level(logging.CRITICAL):
        yield


def test_there_is_one_for_each_planted_bug() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_same_comes_back_when_it_is_played_again(name: str) -> None:
    module = planted(name)
    transcript = Transcript.load(FOLDER / f"{name}.json")
    assert transcript.check == module.CHECK
    assert len(transcript.exchanges) <= 6
    path = contract_of(module, bug=True).path
    assert (
        first_difference(transcript, replay(transcript, lambda: module.create_app(True), path=path)) is None
    )


@pytest.mark.parametrize("name", NAMES)
def test_its_steps_fail_the_check_that_is_for_the_bug_and_none_in_the_twin(name: str) -> None:
    module = planted(name)
    document = getattr(module, "DOCUMENT", None)
    for transcript in (program_of(module), Transcript.load(FOLDER / f"{name}.json")):
        with pytest.raises(CheckFailed, match=f"^{module.CHECK}: "):
            verify(lambda: module.create_app(True), transcript, document=document)
        verify(lambda: module.create_app(False), transcript, document=document)
