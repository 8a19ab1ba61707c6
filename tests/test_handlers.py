"""A handler is recorded with what it declares, or refused with its place, what is wrong and what to do."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from protocol import Connection, MessageProtocol, MessageRouter, Rate, Reject, Room
from tests.misdeclared import Answer, Ask, Join, Leave, asked, place, refusal


def test_a_handler_is_recorded_with_what_it_declares() -> None:
    class TooLate(Reject, code="too_late"):
        pass

    router = MessageRouter()

    @router.on(Join, Leave, emits=Answer, raises=TooLate, rate_limit=Rate(1), concurrent=True)
    async def moved(message: Join | Leave) -> Answer | None: ...

    (handler,) = router.records.handlers
    assert handler.types == (Join, Leave)
    assert (handler.emits, handler.returns, handler.raises) == ((Answer,), (Answer,), (TooLate,))
    assert (handler.rate_limit, handler.concurrent, handler.silent) == (Rate(1), True, True)
    assert handler.place == place(moved)


def test_a_decorator_returns_the_function_itself() -> None:
    router = MessageRouter()
    assert router.on(Ask)(asked) is asked


def test_a_stream_is_concurrent() -> None:
    router = MessageRouter()

    @router.on(Ask, emits=Answer)
    def stream(message: Ask) -> Iterator[Answer]:
        yield Answer(text="a")

    assert router.records.handlers[0].concurrent


def test_a_handler_without_types_is_refused() -> None:
    router = MessageRouter()
    on: Any = router.on
    assert refusal(lambda: on()(asked)) == (
        f"{place(asked)}: name the message types that it handles: @on(Type, …)."
    )
    assert refusal(lambda: on(asked)) == (
        f"{place(asked)}: @on(…) takes message types, which are pydantic models, not {asked!r}: write @on(Type, …)."
    )
    assert refusal(lambda: on(int)) == (
        "@on(…) takes message types, which are pydantic models, not <class 'int'>: write @on(Type, …)."
    )


def test_a_handler_takes_the_message_first() -> None:
    async def nothing() -> None: ...

    on: Any = MessageRouter().on
    assert refusal(lambda: on(Ask)(nothing)).startswith(
        f"{place(nothing)}: a handler takes the message as its first parameter."
    )


def test_the_message_is_given_by_position() -> None:
    async def ask(*, message: Ask) -> None: ...

    on: Any = MessageRouter().on(Ask)
    assert refusal(lambda: on(ask)) == (
        f"{place(ask)}: the parameter 'message' is filled by position: move it before the *."
    )


def test_one_type_has_one_handler() -> None:
    async def again(message: Ask) -> None: ...

    chat, router = MessageProtocol("Chat"), MessageRouter()
    text = f"{place(again)}: Ask has a handler already: {place(asked)}. One message type has one handler."
    chat.on(Ask)(asked)
    assert refusal(lambda: chat.on(Ask)(again)) == text
    router.on(Ask)(again)
    chat.include_router(router)
    assert refusal(chat.freeze) == text


def test_what_a_handler_returns_is_declared() -> None:
    async def answer(message: Ask) -> Answer:
        raise NotImplementedError

    chat = MessageProtocol("Chat")
    chat.on(Ask)(answer)
    assert refusal(chat.freeze) == (
        f"{place(answer)}: it returns Answer, which is not declared as an outbound message: "
        "name it in emits= of the handler, or in sends= of the protocol."
    )
    declared = MessageProtocol("Chat", sends=Answer)
    declared.on(Ask)(answer)
    declared.freeze()


def test_types_without_a_tag_are_refused_with_the_handler() -> None:
    class Bare(BaseModel):
        pass

    async def bare(message: Bare) -> None: ...

    assert refusal(lambda: MessageRouter().on(Bare)(bare)) == (
        f"{place(bare)}: {Bare.__qualname__} has no tag: write class Bare(Message, type='…'), "
        "or a field type: Literal['…'] = '…'."
    )
    assert refusal(lambda: MessageRouter().on(Ask, emits=Bare)(asked)).startswith(f"{place(asked)}: ")


def test_raises_takes_rejects_only() -> None:
    wrong: Any = KeyError
    assert refusal(lambda: MessageRouter().on(Ask, raises=wrong)(asked)) == (
        f"{place(asked)}: raises= takes subclasses of Reject, not {KeyError!r}."
    )


def test_a_room_parameter_needs_the_field() -> None:
    async def where(message: Ask, room: Room) -> None: ...

    assert refusal(lambda: MessageRouter().on(Ask)(where)) == (
        f"{place(where)}: a parameter Room is the room of message.room, and Ask has no field 'room'. "
        "Take Rooms instead: rooms[name]."
    )


def test_a_parameter_that_nothing_fills_is_named() -> None:
    async def lost(message: Ask, number: int) -> None: ...

    async def fine(message: Ask, number: int = 1) -> None: ...

    assert refusal(lambda: MessageRouter().on(Ask)(lost)) == (
        f"{place(lost)}: nothing fills the parameter 'number'. Annotate it with one of Connection, HTTPConnection, "
        "Room, Rooms, User, Users, or use Depends()."
    )
    MessageRouter().on(Ask)(fine)


def test_parameters_without_a_name_are_refused() -> None:
    async def many(message: Ask, *rest: Connection) -> None: ...

    assert refusal(lambda: MessageRouter().on(Ask)(many)).endswith(
        "cannot be filled; give each a name and an annotation."
    )
