"""Generating what a peer may send, and what it must not: strategies for hypothesis.

``messages`` yields valid messages, ``frames`` raw frames that are labelled valid or not. They are compiled from the
JSON Schema of the messages, so they serve a server that only has a document as well. Programs of several steps,
checks and the command line stand on these.
"""

try:
    import hypothesis  # noqa: F401
    import jsonschema_rs  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"protocol.fuzzing needs {error.name}, which is not installed: pip install 'fastapi-protocol[fuzz]'"
    ) from error

from protocol.fuzzing.checks import Check, CheckFailed, Finding
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.exact import ExactJsonSchema
from protocol.fuzzing.frames import GeneratedFrame, Label, frames
from protocol.fuzzing.grammar import Grammar
from protocol.fuzzing.messages import messages
from protocol.fuzzing.mutations import Mutation
from protocol.fuzzing.rooms import RoomRules
from protocol.fuzzing.run import Run
from protocol.fuzzing.tests import fuzz_test, verify

__all__ = [
    "Check",
    "CheckFailed",
    "Contract",
    "ExactJsonSchema",
    "Finding",
    "GeneratedFrame",
    "Grammar",
    "Label",
    "Mutation",
    "RoomRules",
    "Run",
    "frames",
    "fuzz_test",
    "messages",
    "verify",
]
