"""Which messages a transform is registered for, and which transforms are refused."""

from collections.abc import Iterator

from protocol import Connection, Message, MessageProtocol, MessageRouter, Room, User
from protocol.transforms import Censor
from tests.misdeclared import Answer, Ask, Join, place, refusal


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
    assert refusal(lambda: router.transform(types="ask")(anything)) == (  # type: ignore[arg-type]
        f"{place(anything)}: types= takes message types, which are pydantic models, not 'ask'."
    )
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
