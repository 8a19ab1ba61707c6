"""Rooms that nobody has used, for a server that lives on."""

from protocol.testing.remote import FreshRooms
from protocol.testing.steps import Connect


def fresh(fits: int = 64) -> FreshRooms:
    return FreshRooms("room", lambda name: len(name) <= fits)


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


def test_a_name_that_would_be_too_long_stays() -> None:
    assert fresh(8).there('{"room":"a"}') == '{"room":"a"}'


def test_a_room_that_the_server_has_named_keeps_its_name() -> None:
    rooms = fresh()
    assert rooms.back('{"type":"created","room":"r-17"}') == '{"type":"created","room":"r-17"}'
    assert rooms.there('{"type":"join","room":"r-17"}') == '{"type":"join","room":"r-17"}'


def test_a_path_that_names_a_room_has_a_fresh_one_too() -> None:
    rooms = fresh()
    assert rooms.path(Connect(0)) is None
    assert rooms.path(Connect(0, "/ws/a")) == "/ws/a"
    assert rooms.path(Connect(0, "/ws/s", room="s")) == f"/ws/{rooms.name('s')}"
