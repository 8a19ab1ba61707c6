"""Whatever pydantic models a protocol is made of, its document is a good one."""

from hypothesis import given
from pydantic import BaseModel

from protocol import MessageProtocol
from protocol.asyncapi import document, lint
from tests.fuzzing.model_classes import message_classes
from tests.profiles import examples
from tests.served import served


@examples(50)
@given(message_classes())
def test_the_document_of_any_message_has_no_finding(model: type[BaseModel]) -> None:
    protocol = MessageProtocol("Any", receives=model, sends=model)
    app = served(protocol)
    assert lint(document(app, protocol)) == []
