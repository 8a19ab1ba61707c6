from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, TypeVar

import pytest

from protocol import Connection, Message, Room, Rooms, User
from protocol.injection import Injected, Signature, is_kind, members_of, place_of


class Ask(Message, type="ask"):
    pass


class Answer(Message, type="answer"):
    pass


M = TypeVar("M", bound=Ask)
N = TypeVar("N", Ask, Answer)

EVERYTHING = frozenset({Connection, User, Room, Rooms})


def injected(function: Callable[..., Any]) -> Injected:
    return Injected(Signature(function, names={}), leading=1, allowed=EVERYTHING, streams=True)


async def coroutine(message: Ask, user: User) -> Answer | None: ...


async def stream(message: Ask) -> AsyncIterator[Answer]:
    yield Answer()


def generator(message: Ask) -> Iterator[Answer]:
    yield Answer()


def plain(message: Ask) -> Answer:
    return Answer()


class Desk:
    async def __call__(self, message: Ask) -> Answer:
        return Answer()

    def method(self, message: Ask) -> Answer:
        return Answer()


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    return wrapper


def awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    return wrapper


@pytest.mark.parametrize(
    "function, kind",
    [
        (coroutine, "async"), (stream, "stream"), (generator, "sync stream"), (plain, "plain"),
        (Desk(), "async"), (Desk().method, "plain"), (functools.partial(Desk()), "async"),
        (functools.partial(plain), "plain"), (functools.partial(stream), "stream"),
        (wrapped(coroutine), "async"), (wrapped(stream), "stream"), (wrapped(generator), "sync stream"),
        (awaited(plain), "async"), (awaited(generator), "async"),
    ],
)  # fmt: skip
def test_the_kind_of_a_function_is_that_of_what_a_call_runs(function: Callable[..., Any], kind: str) -> None:
    found = injected(function)
    flags = {"async": found.is_async, "stream": found.is_stream, "sync stream": found.is_sync_stream}
    assert [name for name, flag in flags.items() if flag] == ([] if kind == "plain" else [kind])
    assert found.returns == (Answer,)


def test_postponed_annotations_are_resolved() -> None:
    assert Signature(coroutine, names={}).parameters[1].annotation is User
    assert injected(coroutine).simple


def test_only_one_connection_needs_no_further_lookup() -> None:
    async def one(message: Ask, connection: Connection) -> None: ...

    async def more(message: Ask, connection: Connection, user: User) -> None: ...

    assert injected(one).connection_names == ["connection"]
    assert injected(more).connection_names is None


def test_an_annotated_parameter_is_what_it_annotates() -> None:
    async def room(message: Ask, room: Annotated[Room, "of the message"]) -> None: ...

    assert injected(room).takes_room


def test_the_place_of_a_function_is_its_name_file_and_line() -> None:
    line = inspect.getsourcelines(plain)[1]
    for function in (plain, wrapped(plain), functools.partial(plain)):
        assert place_of(function) == f"plain ({__file__}:{line})"
    assert place_of(print) == "print"


@pytest.mark.parametrize(
    "annotation, members",
    [
        (Ask, (Ask,)), (Ask | Answer, (Ask, Answer)), (Annotated[Ask | Answer, "x"], (Ask, Answer)),
        (M, (Ask,)), (N, (Ask, Answer)), (TypeVar("Free"), (object,)),
    ],
)  # fmt: skip
def test_members_of_a_union(annotation: Any, members: tuple[type, ...]) -> None:
    assert members_of(annotation) == members


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is Python 3.12")
def test_an_alias_of_the_type_statement_is_what_it_names() -> None:
    names: dict[str, Any] = {"Ask": Ask, "Answer": Answer}
    exec("type Both = Ask | Answer", names)
    assert members_of(names["Both"]) == (Ask, Answer)

    def answer(message: Ask) -> Both: ...  # type: ignore[name-defined]  # noqa: F821

    assert Signature(answer, names=names).returned_models() == (Ask, Answer)


def test_a_predicate_holds_for_what_the_wrapper_says_it_calls() -> None:
    assert is_kind(inspect.iscoroutinefunction, wrapped(coroutine))
    assert not is_kind(inspect.isgeneratorfunction, awaited(generator))
