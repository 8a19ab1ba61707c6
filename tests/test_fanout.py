"""What a node does for its receivers with a publication that cannot be made into a frame."""

from datetime import UTC, datetime

import pytest
from pydantic import field_serializer

from protocol import Connection, History, Message, MessageProtocol, Position, Room
from protocol.brokers import Publication
from protocol.exceptions import LocalProtocolError
from protocol.replay import RoomReplay
from protocol.testing import Client, settle
from tests.members import Join, Say, Text, joinable


@pytest.mark.parametrize("wire", [False, True], ids=["send", "wire"])
async def test_who_cannot_be_given_a_message_of_a_history_starts_over_and_disturbs_no_other(
    wire: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Undeclared(Message, type="undeclared"):
        text: str

    chat = MessageProtocol("Fanout", sends=Text)

    @chat.transform(outbound=True, per_recipient=True)
    def mistaken(message: Text, connection: Connection) -> Message:
        return Undeclared(text=message.text) if connection.user.id == "bob" else message

    @chat.room("{name}", history=History())
    async def room(connection: Connection, name: str) -> None: ...

    @chat.on(Say, emits=Text)
    async def say(message: Say, room: Room) -> None:
        await room.publish(Text(text=message.text))

    app = joinable(chat)

    def client(user: str) -> Client:
        return Client(app, user=user, wire=wire)

    async with client("ann") as ann, client("bob") as bob, client("cat") as cat:
        for one in (ann, bob, cat):
            await one.request(Join(room="a"))
        assert (await ann.request(Say(room="a", text="x")))["offset"] == 1
        for one in (ann, cat):
            assert await one.expect("text") == {"type": "text", "text": "x", "offset": 1}
        assert await bob.expect_close() == (3010, "insufficient state")
        await ann.request(Say(room="a", text="y"))

        epoch = (await chat.at(app).broker.history("room:a", history=History())).position.epoch
        async with client("bob") as back, client("dan") as dan:
            await settle()
            # Both are flushed in one turn, in this order.
            await back.send(Join(room="a", since=Position(0, epoch)), id=1)
            await dan.send({"type": "ping", "id": 2})
            assert await dan.expect("pong", ref=2)
            await back.expect("ack")
            assert await back.expect_close() == (3010, "insufficient state")
            assert not back.frames
            await dan.send({"type": "ping", "id": 3})
            assert await dan.expect("pong", ref=3)
    assert caplog.text.count("A message for one receiver failed") == 2


async def test_a_message_that_cannot_be_read_again_leaves_no_hole_in_a_recovery() -> None:
    class At(Message, type="at"):
        time: datetime

        @field_serializer("time")
        def short(self, time: datetime) -> str:
            return f"{time:%H:%M}"

    chat = MessageProtocol("Fanout", sends=At)

    @chat.transform(outbound=True, per_recipient=True)
    def same(message: At, connection: Connection) -> At:
        return message

    @chat.room("{name}", history=History())
    async def room(connection: Connection, name: str) -> None: ...

    app = joinable(chat)
    async with Client(app, user="ann") as ann:
        await ann.request(Join(room="a"))
        delivery = await chat.rooms["a"].publish(At(time=datetime(2026, 1, 1, 12, tzinfo=UTC)))
        assert await ann.expect("at") == {"type": "at", "time": "12:00", "offset": 1}
        assert delivery.position is not None
        async with Client(app, user="bob") as bob:
            await bob.request(Join(room="a", since=Position(0, delivery.position.epoch)))
            assert await bob.expect_close() == (3010, "insufficient state")
        with pytest.raises(LocalProtocolError) as refused:
            await chat.rooms["a"].history()
        assert str(refused.value).startswith(
            "A published message with the type 'at' cannot be read again (time: "
        )
        assert str(refused.value).endswith("): let its model accept what its serializers write.")


async def test_a_message_of_another_node_is_delivered_although_its_slow_key_cannot_be_read() -> None:
    class Price(Message, type="price", slow="latest", slow_key="symbol"):
        symbol: str
        price: float

        @field_serializer("price")
        def in_euro(self, price: float) -> str:
            return f"{price} EUR"

    chat = MessageProtocol("Fanout", sends=Price)

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    app = joinable(chat)
    async with Client(app) as client:
        await client.request(Join(room="a"))
        body = b'{"type":"price","symbol":"x","price":"1.0 EUR"}'
        delivery = chat.at(app).hub.fanout.deliver(Publication(("room:a",), "price", body))
        assert (delivery.receivers, delivery.dropped) == (1, 0)
        assert await client.expect("price") == {"type": "price", "symbol": "x", "price": "1.0 EUR"}


async def test_what_a_codec_cannot_write_leaves_no_hole_and_stops_no_delivery() -> None:
    class Picky:
        text = True

        def decode(self, frame: str | bytes) -> tuple[str | bytes]:
            return (frame,)

        def encode(self, body: bytes) -> bytes:
            if b"unspeakable" in body:
                raise ValueError("unspeakable")
            return body

    chat = MessageProtocol("Fanout", sends=Text, codec=Picky())

    @chat.room("kept", history=History())
    async def kept(connection: Connection) -> None: ...

    @chat.room("brief")
    async def brief(connection: Connection) -> None: ...

    app = joinable(chat)
    async with Client(app) as ann, Client(app) as bob:
        await ann.request(Join(room="kept"))
        await bob.request(Join(room="brief"))
        for room in ("kept", "brief"):
            assert (await chat.rooms[room].publish(Text(text="unspeakable"))).receivers == 0
        assert await ann.expect_close() == (3010, "insufficient state")
        await chat.rooms["brief"].publish(Text(text="fine"))
        await bob.expect(Text, text="fine")


@pytest.mark.parametrize("wire", [False, True], ids=["send", "wire"])
async def test_a_replay_that_fails_ends_its_connection_and_no_other(
    wire: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(replay: RoomReplay) -> None:
        raise LookupError("a bug")

    chat = MessageProtocol("Fanout", sends=Text)

    @chat.room("kept", history=History())
    async def kept(connection: Connection) -> None: ...

    app = joinable(chat)
    async with Client(app, wire=wire) as ann, Client(app, wire=wire) as bob:
        monkeypatch.setattr(RoomReplay, "next", broken)
        await ann.send(Join(room="kept"))
        await bob.send({"type": "ping", "id": 1})
        assert await bob.expect("pong", ref=1)
        assert await ann.expect_close() == (3010, "insufficient state")
        await bob.send({"type": "ping", "id": 2})
        assert await bob.expect("pong", ref=2)
    assert caplog.text.count("A replay failed") == 1


async def test_a_transform_that_fails_for_one_disturbs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    chat = MessageProtocol("Hub", sends=Text)

    @chat.transform(outbound=True, per_recipient=True)
    def fail(message: Text, connection: Connection) -> Text:
        if connection.user.id == "ann":
            raise LookupError("ann")
        return message

    @chat.room("{name}")
    async def room(connection: Connection, name: str) -> None: ...

    app = joinable(chat)
    async with Client(app, user="ann") as ann, Client(app, user="bob") as bob:
        for client in (ann, bob):
            await client.request(Join(room="a"))
        await chat.rooms["a"].publish(Text(text="x"))
        await bob.expect(Text)
        await ann.expect_nothing()
    assert "A message for one receiver failed" in caplog.text
