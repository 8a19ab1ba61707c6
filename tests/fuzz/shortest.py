"""The transcripts of the planted bugs, from the shortest programs: ``python -m tests.fuzz.shortest`` writes them anew."""

import logging
from pathlib import Path
from types import ModuleType

from protocol.fuzzing.program import connected
from protocol.testing.transcript import Transcript
from tests.fuzz.table import NAMES, fuzzer_of, planted

FOLDER = Path(__file__).parent / "transcripts"


def program_of(module: ModuleType) -> Transcript:
    """The shortest program that shows a bug, without what comes back."""
    nodes = getattr(module, "NODES", 0)
    return Transcript.from_json(
        {"format": "protocol.transcript/1", "nodes": nodes, "exchanges": module.SHORTEST}
    )


def transcript_of(module: ModuleType) -> Transcript:
    """The transcript of the failure that it makes."""
    failure = fuzzer_of(module, bug=True).check(connected(program_of(module).steps))
    assert failure is not None
    return failure.transcript


def main() -> None:
    logging.disable()  # What fails is what is looked for.
    for name in NAMES:
        transcript_of(planted(name)).save(FOLDER / f"{name}.json")


if __name__ == "__main__":
    main()
