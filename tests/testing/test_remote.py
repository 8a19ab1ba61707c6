"""A server that lives on: where it is reached, and rooms that nobody has used."""

import asyncio
import json

from websockets.asyncio.server import ServerConnection, serve

from protocol.testing.comparison import first_difference
from protocol.testing.player import play
from protocol.testing.remote import FreshRooms, Remote
from protocol.testing.replay import replayed
from protocol.testing.steps import Connect, Send
from protocol.testing.transcript import Exchange, Transcript


def fresh() -> FreshRooms:
    return FreshRooms("room", lambda room, suffix: room if room == "lobby" else room + suffix)


def test_what_is_on_the_wire_has_a_fresh_name_and_what_comes_back_the_given_one() -> None:
    rooms = fresh()
    there = rooms.there('{"type":"join","room":"a","text":"a"}')
    assert there != '{"type":"join","room":"a","text":"a"}'
    assert there == f'{{"type":"join","room":"{rooms.name("a")}","text":"a"}}'
    assert rooms.back(there) == '{"type":"join","room":"a","text":"a"}'
    assert fresh().there('{"type":"join","room":"a","text":"a"}') != there


def test_what_is_no_json_goes_as_it_is() -> None:
    assert fresh().there('{"room":"a"') == '{"room":"a"'
    assert fresh().there(b'{"room":"a"}') == b'{"room":"a"}'
    assert fresh().back(b'{"room":"a"}') == b'{"room":"a"}'


def test_a_room_of_any_name_gets_another_unless_it_has_none() -> None:
    rooms = fresh()
    assert rooms.there('{"room":"chat:1"}') == f'{{"room":"{rooms.name("chat:1")}"}}' != '{"room":"chat:1"}'
    assert rooms.there('{"room":"lobby"}') == '{"room":"lobby"}'
    assert rooms.there('{"room":""}') == '{"room":""}'


def test_a_name_with_an_escape_in_it_is_a_name_too() -> None:
    rooms = fresh()
    for text in (r'{"room":"a\"b\\"}', r'{"room":"\u00e9"}', r'{"room":"\ud800"}'):
        there = rooms.there(text)
        assert isinstance(there, str)
        assert json.loads(there)["room"] == rooms.name(json.loads(text)["room"])
        assert json.loads(rooms.back(there)) == json.loads(text)
        assert there.isascii()
    known = fresh()
    known.back(r'{"room":"\u00e9"}')
    assert known.there('{"room":"é"}') == '{"room":"é"}'


def test_who_stops_reading_takes_nothing_more() -> None:
    async def played() -> None:
        there: set[ServerConnection] = set()

        async def tell_all(socket: ServerConnection) -> None:
            there.add(socket)
            async for text in socket:
                for one in there:
                    await one.send(text)

        async with serve(tell_all, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            stage = Remote(f"ws://127.0.0.1:{port}", lambda client: {})
            deaf, other = await stage.connect(Connect(0)), await stage.connect(Connect(1))
            await deaf.send("hello")
            await other.send("hello")
            await stage.settle(lambda: bool(deaf.received and other.received))
            await stage.calm()
            del deaf.received[:], other.received[:]
            deaf.pause()
            await other.send("a")
            await other.send("b")
            await stage.settle(lambda: len(other.received) == 2)
            await stage.calm()
            assert deaf.received == []
            deaf.resume()
            await stage.settle(lambda: len(deaf.received) == 2)
            assert deaf.received == ["a", "b"]
            await stage.aclose()

    asyncio.run(played())


def test_a_room_that_the_server_has_named_keeps_its_name() -> None:
    rooms = fresh()
    assert rooms.back('{"type":"created","room":"r-17"}') == '{"type":"created","room":"r-17"}'
    assert rooms.there('{"type":"join","room":"r-17"}') == '{"type":"join","room":"r-17"}'


def test_a_path_that_names_a_room_has_a_fresh_one_too() -> None:
    rooms = fresh()
    assert rooms.path(Connect(0)) is None
    assert rooms.path(Connect(0, "/ws/a")) == "/ws/a"
    assert rooms.path(Connect(0, "/ws/s", room="s")) == f"/ws/{rooms.name('s')}"


def test_a_step_replaces_the_path_of_the_url_and_its_query_where_it_has_one() -> None:
    async def says_where(socket: ServerConnection) -> None:
        assert socket.request is not None
        await socket.send(socket.request.path)

    async def paths() -> list[object]:
        async with serve(says_where, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            stage = Remote(f"ws://127.0.0.1:{port}/ws?a=1", lambda client: {})
            steps = [Connect(0), Connect(1, "/b"), Connect(2, "/c?d=2")]
            played = await play(steps, stage, until=lambda now: bool(now.received))
            await stage.aclose()
        return [*(exchange.received[client][0] for client, exchange in enumerate(played))]

    assert asyncio.run(paths()) == ["/ws?a=1", "/b?a=1", "/c?d=2"]


def test_nobody_waits_for_what_has_come_some_steps_earlier_than_it_was_recorded() -> None:
    async def echo(socket: ServerConnection) -> None:
        async for data in socket:
            await socket.send(data)

    recorded = Transcript(
        (
            Exchange(Connect(0)),
            Exchange(Connect(1)),
            Exchange(Send(0, "a")),
            Exchange(Send(1, "b"), {0: ("a",), 1: ("b",)}),
        )
    )

    async def played() -> Transcript:
        async with serve(echo, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            stage = Remote(f"ws://127.0.0.1:{port}/ws", lambda client: {}, patience=300)
            try:
                async with asyncio.timeout(60):
                    return await replayed(recorded, stage)
            finally:
                await stage.aclose()

    assert first_difference(recorded, asyncio.run(played())) is None
