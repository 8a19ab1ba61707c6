"""Every misdeclaration fails where it is made, and says where, what and what to do."""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from protocol import (
    ConfigurationError,
    Connection,
    Disconnect,
    History,
    Message,
    MessageProtocol,
    MessageRouter,
    Rate,
    Reject,
    Room,
    User,
)
from protocol.transforms import Censor


class Join(Message, type="join"):
    room: str


class Leave(Message, type="leave"):
    room: str


class Ask(Message, type="ask"):
    pass


class Answer(Message, type="answer"):
    text: str


def refusal(declare: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        declare()
    return str(caught.value)


def place(function: Callable[..., Any]) -> str:
    code = inspect.unwrap(function).__code__
    return f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"


async def asked(message: Ask) -> None: ...


# For what type checkers refuse already.
UntypedRouter: Any = MessageRouter
UntypedProtocol: Any = MessageProtocol


# Handlers.


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


def test_decorator_and_annotation_must_agree() -> None:
    async def other(message: Answer) -> None: ...

    async def narrow(message: Join) -> None: ...

    on: Any = MessageRouter().on
    assert refusal(lambda: on(Ask)(other)) == (
        f"{place(other)}: its parameter 'message' gets Ask, and is annotated {__name__}.Answer. Make them agree."
    )
    assert "its parameter 'message' gets Leave" in refusal(lambda: on(Join, Leave)(narrow))


@pytest.mark.parametrize("annotation", [Ask, Ask | Join, Message, BaseModel, Any, object])
def test_an_annotation_may_be_wider_than_the_decorator(annotation: Any) -> None:
    async def wide(message: Any) -> None: ...

    wide.__annotations__["message"] = annotation
    MessageRouter().on(Ask)(wide)


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


def test_an_annotation_that_is_not_defined_is_named() -> None:
    async def lost(message: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert refusal(lambda: MessageRouter().on(Ask)(lost)) == (
        f"{place(lost)}: the annotation 'Nowhere' is not defined where the function is registered. "
        "Import it outside of TYPE_CHECKING, above the function."
    )


# Transforms.


def test_a_transform_is_a_plain_function() -> None:
    async def slow(message: Ask) -> Ask:
        raise NotImplementedError

    class Slow:
        async def __call__(self, message: Ask) -> Ask:
            raise NotImplementedError

    text = (
        "a transform is a plain def that returns, because it runs for every message. "
        "Do what has to be awaited in a handler or a dependency."
    )
    assert refusal(lambda: MessageRouter().transform(slow)) == f"{place(slow)}: {text}"
    assert refusal(lambda: MessageRouter().transform(Slow())) == f"{place(Slow.__call__)}: {text}"

    def many(message: Ask) -> Iterator[Ask]:
        yield message

    assert refusal(lambda: MessageRouter().transform(many)) == f"{place(many)}: {text}"


def test_a_transform_takes_the_message_and_per_recipient_the_connection_too() -> None:
    def one(message: Ask) -> Ask:
        raise NotImplementedError

    def two(message: Ask, connection: Connection) -> Ask:
        raise NotImplementedError

    router = MessageRouter()
    assert refusal(lambda: router.transform(two)) == (
        f"{place(two)}: a transform takes the message, 1 parameters, not 2."
    )
    assert refusal(lambda: router.transform(per_recipient=True)(one)) == (
        f"{place(one)}: a transform takes the message and the connection, 2 parameters, not 1."
    )
    router.transform(per_recipient=True)(two)
    assert router.records.transforms[0].outbound


def test_a_transform_is_annotated_with_messages() -> None:
    def anything(message): ...  # type: ignore[no-untyped-def]

    assert refusal(lambda: MessageRouter().transform(anything)) == (
        f"{place(anything)}: annotate the message with the types that are to be transformed."
    )
    router = MessageRouter()
    router.transform(types=Ask)(anything)
    assert router.records.transforms[0].types == (Ask,)


def test_a_transform_applies_to_subclasses_and_members_of_a_union() -> None:
    def some(message: Join | Answer) -> Join | Answer:
        raise NotImplementedError

    class Rejoin(Join, type="rejoin"):
        pass

    router = MessageRouter()
    router.transform(some)
    assert [router.records.transforms[0].applies(model) for model in (Join, Rejoin, Answer, Ask)] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_transform_that_no_message_passes_is_refused() -> None:
    def shout(message: Answer) -> Answer:
        raise NotImplementedError

    text = (
        "message passes this transform of Answer. Name types that have one of its fields and are {0} where it is "
        "registered, or make it a transform of {1} messages: outbound=…."
    )
    for outbound, way in ((False, ("inbound", "outbound")), (True, ("outbound", "inbound"))):
        chat = MessageProtocol("Chat", sends=() if outbound else Answer, receives=Answer if outbound else ())
        chat.transform(outbound=outbound)(shout)
        assert refusal(chat.freeze) == f"{place(shout)}: no {way[0]} {text.format(*way)}"
    censored = MessageProtocol("Chat", receives=Answer)
    censored.transform(types=Answer)(Censor(["damn"], fields=["texts"]))
    assert "no inbound message passes this transform of Answer" in refusal(censored.freeze)


def test_a_transform_of_a_router_is_for_what_its_handlers_and_hooks_send() -> None:
    class Joined(Message, type="joined"):
        user: str

    router, chat = MessageRouter(), MessageProtocol("Chat", sends=Answer)
    chat.include_router(router)

    @router.on_join
    async def joined(user: User, room: Room) -> Joined:
        raise NotImplementedError

    @router.transform(outbound=True)
    def any_of_them(message: Joined | Answer) -> Joined | Answer:
        raise NotImplementedError

    stages = chat.freeze().pipeline.stages
    assert [model.__name__ for model, found in stages.items() if found.shared] == ["Joined"]


def test_a_ready_made_transform_registers_for_what_it_covers() -> None:
    router = MessageRouter()
    router.transform(Censor(["damn"]))
    transform = router.records.transforms[0]
    assert (transform.applies(Answer), transform.applies(Ask)) == (True, False)


# Rooms.


async def anyone(connection: Connection, name: str) -> None: ...


def test_overlapping_rooms_are_named_within_a_router_and_across() -> None:
    async def team(connection: Connection, team: str) -> None: ...

    text = (
        f"{place(team)}: the room 'team-{{team}}' overlaps '{{name}}' of {place(anyone)}: one name could be either. "
        "Put different text before or behind the parameters."
    )
    chat, router = MessageProtocol("Chat"), MessageRouter()
    chat.room("{name}")(anyone)
    assert refusal(lambda: chat.room("team-{team}")(team)) == text
    router.room("team-{team}")(team)
    chat.include_router(router)
    assert refusal(chat.freeze) == text


def test_a_room_function_takes_the_connection_and_every_parameter() -> None:
    async def nobody(name: str) -> None: ...

    async def nameless(connection: Connection) -> None: ...

    room: Any = MessageRouter().room
    assert refusal(lambda: room("{name}")(nobody)) == (
        f"{place(nobody)}: the first parameter is the connection: Connection."
    )
    assert refusal(lambda: room("{name}")(nameless)) == (
        f"{place(nameless)}: the room '{{name}}' has a parameter 'name', and the function has none."
    )


def test_an_unreadable_room_is_refused_with_its_function() -> None:
    assert refusal(lambda: MessageRouter().room("{name")(anyone)) == (
        f"{place(anyone)}: The room '{{name' cannot be read: a parameter is {{name}}, and two of them need text between."
    )


def test_a_room_without_its_pattern_is_refused() -> None:
    room: Any = MessageRouter().room
    assert refusal(lambda: room(anyone)) == f"{place(anyone)}: write @room('…') with the name of the room."


def test_a_room_keeps_its_options() -> None:
    router = MessageRouter()
    router.room("{name}", history=History(size=5), presence=False)(anyone)
    spec = router.records.rooms[0].spec
    assert (spec.pattern.pattern, spec.history, spec.presence, spec.place) == (
        "{name}", History(size=5), False, place(anyone),
    )  # fmt: skip


# Hooks and exception handlers.


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


def test_where_nobody_looks_at_an_answer_none_is_promised() -> None:
    async def room(connection: Connection, name: str) -> bool:
        raise NotImplementedError

    async def connected(connection: Connection) -> Answer | None:
        raise NotImplementedError

    assert refusal(lambda: MessageRouter().room("{name}")(room)) == (
        f"{place(room)}: it is annotated to return bool, which nobody would look at. Raise Reject to refuse."
    )
    assert refusal(lambda: MessageRouter().on_connect(connected)) == (
        f"{place(connected)}: it is annotated to return {__name__}.Answer, which nobody would look at. "
        f"Send it: connection.send(…)."
    )


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


# Routers and the protocol.


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


def test_only_handlers_yield() -> None:
    async def room(connection: Connection, name: str) -> AsyncIterator[None]:
        yield

    def hook(user: User, room: Room) -> Iterator[Answer]:
        yield Answer(text="hi")

    text = "it yields, and only handlers of messages may. Return instead."
    assert refusal(lambda: MessageRouter().room("{name}")(room)) == f"{place(room)}: {text}"
    assert refusal(lambda: MessageRouter().on_join(hook)) == f"{place(hook)}: {text}"


def test_the_message_is_given_by_position() -> None:
    async def ask(*, message: Ask) -> None: ...

    on: Any = MessageRouter().on(Ask)
    assert refusal(lambda: on(ask)) == (
        f"{place(ask)}: the parameter 'message' is filled by position: move it before the *."
    )


# Where annotations are looked up.


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
