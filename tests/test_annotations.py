"""Annotations are read wherever a function is registered, and held to what it is registered for."""

import functools
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from protocol import Connection, Message, MessageRouter, Room, User
from tests.misdeclared import Answer, Ask, Join, Leave, place, refusal

# For what type checkers refuse already.
UntypedRouter: Any = MessageRouter


def test_decorator_and_annotation_must_agree() -> None:
    async def other(message: Answer) -> None: ...

    async def narrow(message: Join) -> None: ...

    on: Any = MessageRouter().on
    assert refusal(lambda: on(Ask)(other)) == (
        f"{place(other)}: its parameter 'message' gets Ask, and is annotated {Answer.__module__}.Answer. "
        "Make them agree."
    )
    assert "its parameter 'message' gets Leave" in refusal(lambda: on(Join, Leave)(narrow))


@pytest.mark.parametrize("annotation", [Ask, Ask | Join, Message, BaseModel, Any, object])
def test_an_annotation_may_be_wider_than_the_decorator(annotation: Any) -> None:
    async def wide(message: Any) -> None: ...

    wide.__annotations__["message"] = annotation
    MessageRouter().on(Ask)(wide)


def test_what_is_given_besides_the_message_is_what_is_annotated() -> None:
    async def failed(connection: Connection, error: ValueError) -> None: ...

    def addressed(message: Answer, user: User) -> Answer:
        raise NotImplementedError

    assert refusal(lambda: UntypedRouter().exception_handler(LookupError)(failed)) == (
        f"{place(failed)}: its parameter 'error' gets LookupError, and is annotated ValueError. Make them agree."
    )
    assert refusal(lambda: UntypedRouter().transform(per_recipient=True)(addressed)) == (
        f"{place(addressed)}: its parameter 'user' gets Connection, and is annotated protocol.types.User. "
        "Make them agree."
    )


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        None,
        BaseModel,
        Answer | None,
        AsyncIterator[Answer | Ask],
        Iterator[Answer],
        Awaitable[Answer | None],
    ],
)
def test_a_handler_may_return_messages_and_yield_them(annotation: Any) -> None:
    async def handled(message: Ask) -> Any: ...

    handled.__annotations__["return"] = annotation
    UntypedRouter().on(Ask, emits=(Ask, Answer))(handled)


@pytest.mark.parametrize("wrong", [str, Answer | str, list[Answer], AsyncIterator[str]])
def test_what_is_answered_is_a_message_or_nothing(wrong: Any) -> None:
    async def handled(message: Ask) -> Any: ...

    def transformed(message: Ask) -> Any: ...

    async def joined(user: User, room: Room) -> Any: ...

    async def failed(connection: Connection, error: KeyError) -> Any: ...

    router = UntypedRouter()
    for decorate, function in (
        (router.on(Ask, emits=Answer), handled),
        (router.transform, transformed),
        (router.on_join, joined),
        (router.exception_handler(KeyError), failed),
    ):
        function.__annotations__["return"] = wrong
        said = (
            "AsyncIterator[str]"
            if wrong == AsyncIterator[str]
            else "list"
            if wrong == list[Answer]
            else "str"
        )
        text = refusal(lambda decorate=decorate, function=function: decorate(function))  # type: ignore[misc]
        assert text.startswith(f"{place(function)}: it is annotated to return ")
        assert said in text
        assert text.endswith(", which is no message. Return a pydantic model with a type, or None.")


def test_where_nobody_looks_at_an_answer_none_is_promised() -> None:
    async def room(connection: Connection, name: str) -> bool:
        raise NotImplementedError

    async def connected(connection: Connection) -> Answer | None:
        raise NotImplementedError

    assert refusal(lambda: MessageRouter().room("{name}")(room)) == (
        f"{place(room)}: it is annotated to return bool, which nobody would look at. Raise Reject to refuse."
    )
    assert refusal(lambda: MessageRouter().on_connect(connected)) == (
        f"{place(connected)}: it is annotated to return {Answer.__module__}.Answer, which nobody would look at. "
        f"Send it: connection.send(…)."
    )


def test_an_annotation_that_is_not_defined_is_named() -> None:
    async def lost(message: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert refusal(lambda: MessageRouter().on(Ask)(lost)) == (
        f"{place(lost)}: the annotation 'Nowhere' is not defined where the function is registered. "
        "Import it outside of TYPE_CHECKING, above the function."
    )


def test_names_of_the_block_are_known() -> None:
    class Local(Message, type="local"):
        pass

    router = MessageRouter()

    @router.on(Local)
    async def local(message: "Local", connection: "Connection") -> "None": ...

    assert router.records.handlers[0].types == (Local,)


def test_types_of_the_decorator_are_known_where_the_block_does_not_know_them() -> None:
    def model() -> type[Message]:
        class Hidden(Message, type="hidden"):
            pass

        return Hidden

    hidden: Any = model()
    router = MessageRouter()

    @router.on(hidden)
    async def handle(message: "Hidden") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert router.records.handlers[0].types == (hidden,)


def test_partials_methods_instances_and_wrappers_are_read_as_what_they_call() -> None:
    class Desk:
        async def method(self, message: Ask, user: User) -> None: ...

        async def __call__(self, message: Ask, user: User) -> None: ...

    async def with_extra(extra: int, message: Ask, user: User) -> None: ...

    async def original(message: Ask, user: User) -> None: ...

    @functools.wraps(original)
    def wrapper(*args: Any, **options: Any) -> Any:
        return original(*args, **options)

    desk = Desk()
    for function in (
        desk.method,
        desk,
        functools.partial(with_extra, 1),
        wrapper,
        functools.partial(desk, user=User("bob")),
    ):
        router = MessageRouter()
        router.on(Ask)(function)
        injected = router.records.handlers[0].function
        assert injected.is_async
        assert injected.place.startswith("test_partials_methods_instances_and_wrappers_are_read")
