"""How rooms and addresses are recognised in a document."""

import json
from typing import Any

import pytest

from protocol import Connection, Message, MessageProtocol
from protocol.exceptions import ConfigurationError
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.rooms import Address, RoomRules, recognised
from protocol.testing.steps import Connect
from tests.fuzz.chat import create_app
from tests.fuzz.clubs import for_outsiders
from tests.fuzz.plain import COUNT, ROOM, TEXT, document
from tests.served import served


def messages(**members: dict[str, Any]) -> dict[str, Any]:
    return {tag: {"properties": found, "required": list(found)} for tag, found in members.items()}


@pytest.mark.parametrize(
    "found, expected",
    [
        (messages(join={"room": TEXT}, leave={"room": TEXT}), ("room", {"join"}, {"leave"})),
        (messages(subscribeTo={"topic": TEXT}), ("topic", {"subscribeTo"}, set())),
        (messages(chat_join={"channel": TEXT}), ("channel", {"chat_join"}, set())),
        (messages(say={"room": TEXT}), None),
        (messages(rejoinder={"room": TEXT}), None),
        (messages(join={"club": TEXT}), None),
    ],
)
def test_rooms_are_recognised_by_words(
    found: dict[str, Any], expected: tuple[str, set[str], set[str]] | None
) -> None:
    rules = recognised(found, [], ())
    assert (None if rules is None else (rules.member, set(rules.joins), set(rules.leaves))) == expected


def test_where_rooms_are_declared_the_only_text_of_what_joins_names_one() -> None:
    found = messages(join={"club": TEXT, "seats": COUNT}, leave={"club": TEXT})
    rules = recognised(found, [], ("club-{name}",))
    assert rules == RoomRules("club", frozenset({"join"}), frozenset({"leave"}), ("club-{name}",))
    assert rules.names == ("club-1", "club-a", "club-B_-2")


@pytest.mark.parametrize(
    "room, expected",
    [
        ("chat:1", "chat:1xyz"),
        ("team-a-staff", "team-axyz-staff"),
        ("lobby", "lobby"),
        ("chat:" + 62 * "a", "chat:" + 62 * "a"),
        ("hall", "hallxyz"),
    ],
)
def test_the_fresh_name_of_a_declared_room_is_that_of_a_declared_one(room: str, expected: str) -> None:
    rules = RoomRules("room", patterns=("lobby", "chat:{id}", "team-{team}-staff"))
    assert rules.fresh(room, "xyz") == expected
    assert RoomRules("room").fresh(room, "xyz") == room + "xyz"


def test_a_parameter_of_the_path_names_a_room() -> None:
    address = Address("/ws/{room}", (("room", ("1",)),))
    assert recognised(messages(say={"room": TEXT}), [address], ()) == RoomRules("room")


def test_a_user_names_rooms_and_what_is_not_there_is_said() -> None:
    contract = Contract.of(for_outsiders())
    assert contract.room is None
    rules = RoomRules("club", frozenset({"come"}), frozenset({"go"}))
    assert contract.with_rooms(rules).room == rules
    with pytest.raises(ConfigurationError, match=r"^No message 'ping' with a member 'club' is received\.$"):
        contract.with_rooms(RoomRules("club", frozenset({"ping"})))


def test_an_address_has_the_values_of_its_document() -> None:
    channel = {"address": "/v1/{room}/{shard}/ws"}
    address = Address.of(
        channel, {"room": {"default": "lobby", "examples": ["a"]}, "shard": {"enum": ["x", "y"]}}
    )
    assert address.parameters == (("room", ("lobby", "a", "1", "B_-2")), ("shard", ("x", "y")))
    assert address.path() == "/v1/lobby/x/ws"
    assert address.path({"room": "b"}) == "/v1/b/x/ws"
    assert address.values("/v1/b/y/ws?token=1") == {"room": "b", "shard": "y"}
    assert address.values("/v1/ws") is None


def test_clients_of_the_chat_may_enter_a_room_by_their_path() -> None:
    contract = Contract.of(create_app())
    assert [address.template for address in contract.addresses] == ["/ws", "/ws/{room}"]
    assert contract.path == "/ws"
    assert contract.parameters(Connect(0)) == {}
    assert contract.parameters(Connect(0, "/ws/a")) == {"room": "a"}


def test_channels_on_which_something_else_is_said_are_other_servers() -> None:
    found = document({"join": ({"room": ROOM}, ())}, {})
    for name, address, action in (("same", "/same/{room}", "receive"), ("other", "/other", "send")):
        found["channels"][name] = {**found["channels"]["ws"], "address": address}
        for key, operation in list(found["operations"].items()):
            if operation["channel"] == {"$ref": "#/channels/ws"} and operation["action"] in {action, "send"}:
                found["operations"][f"{name}.{key}"] = json.loads(
                    json.dumps(operation).replace("#/channels/ws", f"#/channels/{name}")
                )
    contract = Contract.of_document(found)
    assert [address.template for address in contract.addresses] == ["/ws", "/same/{room}"]


def test_a_server_with_nothing_but_a_parametrised_path_is_reached_by_the_usual_values() -> None:
    class Tick(Message, type="tick"):
        pass

    protocol = MessageProtocol("Ticks", path="/ws/{room}")

    @protocol.on(Tick)
    async def tick(message: Tick, connection: Connection) -> None: ...

    app = served(protocol)
    contract = Contract.of(app)
    assert contract.path == "/ws/room"
    assert contract.room == RoomRules("room")
