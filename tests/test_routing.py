"""Routers and protocols take what they can serve, until they are served."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol import Disconnect, MessageProtocol, MessageRouter
from tests.misdeclared import Ask, asked, place, refusal

# For what type checkers refuse already.
UntypedRouter: Any = MessageRouter
UntypedProtocol: Any = MessageProtocol


def test_a_router_cannot_include_itself() -> None:
    one, two = MessageRouter(), MessageRouter()
    one.include_router(two)
    for routers in ((one, one), (two, one)):
        assert refusal(lambda routers=routers: routers[0].include_router(routers[1])) == (  # type: ignore[misc]
            "A router cannot include itself, nor one that includes it."
        )


def test_a_served_protocol_takes_no_more() -> None:
    chat = MessageProtocol("Chat")
    chat.freeze()
    assert refusal(lambda: chat.on(Ask)(asked)) == (
        "The protocol 'Chat' is served already, so nothing can be registered any more. Register before "
        "its router is included in an application, at import."
    )


def test_a_router_of_a_served_protocol_takes_no_more() -> None:
    chat, router = MessageProtocol("Chat"), MessageRouter()
    chat.include_router(router)
    chat.freeze()
    assert refusal(lambda: router.on(Ask)(asked)) == (
        "The protocol 'Chat' is served already, so nothing can be registered any more. Register before "
        "its router is included in an application, at import."
    )


@pytest.mark.parametrize(
    "declare, text",
    [
        (lambda: UntypedRouter().on(Ask, emits="Answer")(asked), "emits= takes message types, which are pydantic models, not 'Answer'."),
        (lambda: UntypedRouter().on(Ask, rate_limit=5)(asked), "rate_limit= takes a Rate, such as Rate(10, burst=40), not 5."),
        (lambda: UntypedRouter().include_router(5), "include_router takes a MessageRouter, not 5."),
        (lambda: UntypedRouter().room("lobby", history=5), "@room('lobby', history=…) takes a History(…), not 5."),
        (
            lambda: UntypedRouter().exception_handler(int),
            "@exception_handler(…) takes a class of exceptions other than Disconnect, not <class 'int'>.",
        ),
        (
            lambda: UntypedRouter().exception_handler(Disconnect),
            "@exception_handler(…) takes a class of exceptions other than Disconnect, not <class 'protocol.exceptions.Disconnect'>.",
        ),
        (lambda: UntypedProtocol("Chat", path="ws"), "MessageProtocol(path=…) takes paths that start with '/', not 'ws'."),
        (lambda: UntypedProtocol("Chat", path=()), "MessageProtocol(path=…) takes paths that start with '/', not ()."),
        (lambda: UntypedProtocol(None), "MessageProtocol(title=…) takes a string, not None."),
        (lambda: UntypedProtocol("Chat", version=1), "MessageProtocol(version=…) takes a string, not 1."),
        (lambda: UntypedProtocol("Chat", codec=None), "MessageProtocol(codec=…) takes a Codec, such as JSON, not None."),
        (
            lambda: UntypedProtocol("Chat", asyncapi_url="chat.json"),
            "MessageProtocol(asyncapi_url=…) takes a path that starts with '/', or None, not 'chat.json'.",
        ),
        (
            lambda: UntypedProtocol("Chat", subprotocols=["chat v1"]),
            "MessageProtocol(subprotocols=…) takes names without spaces and separators, not ['chat v1'].",
        ),
        (lambda: UntypedProtocol("Chat", max_rooms=0), "MessageProtocol(max_rooms=…) takes a whole number of at least 1, not 0."),
        (lambda: UntypedProtocol("Chat", max_frame=None), "MessageProtocol(max_frame=…) takes a whole number of at least 1, not None."),
        (
            lambda: UntypedProtocol("Chat", broker="amqp://localhost"),
            "MessageProtocol(broker=…): No broker is known for 'amqp://localhost'. There is: 'memory://'.",
        ),
        (lambda: UntypedProtocol("Chat", rate_limit=5), "MessageProtocol(rate_limit=…) takes Rate(…), not 5."),
        (lambda: UntypedProtocol("Chat", envelope={}), "MessageProtocol(envelope=…) takes Envelope(…), not {}."),
        (lambda: UntypedProtocol("Chat", user="me"), "MessageProtocol(user=…) takes a dependency, not 'me'."),
        (
            lambda: UntypedProtocol("Chat", receives=[int]),
            "MessageProtocol(receives=…) takes message types, which are pydantic models, not <class 'int'>.",
        ),
        (
            lambda: UntypedProtocol("Chat", sends="Answer"),
            "MessageProtocol(sends=…) takes message types, which are pydantic models, not 'Answer'.",
        ),
    ],
)  # fmt: skip
def test_an_option_of_the_wrong_kind_is_refused(declare: Callable[[], object], text: str) -> None:
    assert refusal(declare).removeprefix(f"{place(asked)}: ") == text


def test_one_path_and_one_subprotocol_need_no_list() -> None:
    chat = MessageProtocol("Chat", path="/chat", subprotocols="chat")
    assert (chat.paths, chat.settings.subprotocols) == (("/chat",), ("chat",))
