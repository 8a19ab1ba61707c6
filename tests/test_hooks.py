"""Hooks and exception handlers are refused where they could not be called."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from protocol import Connection, Message, MessageProtocol, MessageRouter, Room, User
from tests.misdeclared import Answer, place, refusal


def test_a_presence_hook_has_no_connection() -> None:
    async def joined(user: User, connection: Connection) -> None: ...

    assert refusal(lambda: MessageRouter().on_join(joined)) == (
        f"{place(joined)}: nothing fills the parameter 'connection'. Annotate it with one of Room, Rooms, User, Users, "
        "or use Depends()."
    )


def test_what_a_hook_or_an_exception_handler_answers_is_declared_by_its_annotation() -> None:
    class Joined(Message, type="joined"):
        user: str

    class Failed(Message, type="failed"):
        pass

    chat = MessageProtocol("Chat")

    @chat.on_join
    async def joined(user: User, room: Room) -> Joined:
        raise NotImplementedError

    @chat.exception_handler(KeyError)
    async def failed(connection: Connection, error: KeyError) -> Failed:
        raise NotImplementedError

    assert {"joined", "failed"} <= chat.registry.outbound.models.keys()


def test_an_exception_handler_takes_both_and_stands_once() -> None:
    async def one(connection: Connection) -> None: ...

    async def two(connection: Connection, error: KeyError) -> None: ...

    router = MessageRouter()
    handler: Any = router.exception_handler(KeyError)
    assert (
        refusal(lambda: handler(one))
        == f"{place(one)}: an exception handler takes the connection and the error."
    )
    handler(two)
    assert refusal(lambda: handler(two)) == f"{place(two)}: KeyError has an exception handler already."


def test_only_handlers_yield() -> None:
    async def room(connection: Connection, name: str) -> AsyncIterator[None]:
        yield

    def hook(user: User, room: Room) -> Iterator[Answer]:
        yield Answer(text="hi")

    text = "it yields, and only handlers of messages may. Return instead."
    assert refusal(lambda: MessageRouter().room("{name}")(room)) == f"{place(room)}: {text}"
    assert refusal(lambda: MessageRouter().on_join(hook)) == f"{place(hook)}: {text}"
