"""What can be fuzzed, and what anything else is refused with."""

import pytest
from fastapi import FastAPI

from protocol import ConfigurationError, Message, MessageProtocol
from protocol.cli.targets import factory
from protocol.fuzzing import fuzz_test
from protocol.fuzzing.contract import Contract
from tests.served import served


class Say(Message, type="say"):
    text: str


protocol = MessageProtocol("Module", receives=Say)
number = 1


def test_an_application_without_a_protocol_is_asked_for_its_router() -> None:
    with pytest.raises(ConfigurationError) as error:
        Contract.of(FastAPI())
    assert str(error.value) == (
        "The application serves no protocol: is its router included, app.include_router(chat.router)? Where it is not "
        "of this framework, give its AsyncAPI document: document=…, or --schema FILE|URL."
    )


def test_of_several_protocols_one_is_asked_for() -> None:
    app = served(MessageProtocol("Chat", receives=Say))
    app.include_router(MessageProtocol("Quiz", path="/quiz", asyncapi_url=None, receives=Say).router)
    with pytest.raises(ConfigurationError) as error:
        Contract.of(app)
    assert str(error.value) == (
        "The application serves several protocols, 'Chat', 'Quiz': give the AsyncAPI document of one: document=…, or "
        "--schema FILE|URL. `protocol schema --title TITLE` prints it."
    )


def test_a_protocol_is_served_by_an_application_of_its_own() -> None:
    assert Contract.of(factory("tests.fuzz.test_targets:protocol")()).grammar.schemas.keys() >= {"say"}


def test_what_serves_nothing_is_named() -> None:
    with pytest.raises(ConfigurationError) as error:
        factory("tests.fuzz.test_targets:number")
    assert str(error.value) == (
        "tests.fuzz.test_targets:number is neither an application, nor a function that makes one, nor a protocol, but of "
        "the type int."
    )


def test_a_test_takes_a_function_that_makes_an_application() -> None:
    with pytest.raises(ConfigurationError) as error:
        fuzz_test(FastAPI())  # type: ignore[arg-type]
    assert str(error.value) == (
        "The fuzzer takes a function that makes a fresh application for each program, not the FastAPI itself: "
        "fuzz_test(create_app)."
    )
