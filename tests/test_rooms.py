import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol import Connection, Delivery, History, MessageProtocol, MessageRouter, Room, Rooms
from protocol.exceptions import NotFound
from protocol.rooms import PARAMETER, RoomPattern, RoomSpec, RoomTable
from tests.misdeclared import place, refusal


@pytest.mark.parametrize(
    "pattern, name, parameters",
    [
        ("lobby", "lobby", {}),
        ("lobby", "Lobby", None),
        ("{name}", "x-1_Y", {"name": "x-1_Y"}),
        ("{name}", "", None),
        ("{name}", "a b", None),
        ("{name}", "ä", None),
        ("{name}", "a\n", None),
        ("{name}", "x" * 64, {"name": "x" * 64}),
        ("{name}", "x" * 65, None),
        ("team-{team}", "team-", None),
        ("team-{team}", "team-red", {"team": "red"}),
        ("a.{one}/{two}", "a.x/y", {"one": "x", "two": "y"}),
        ("a.{one}", "abx", None),
    ],
)  # fmt: skip
def test_a_name_is_matched_as_a_whole(pattern: str, name: str, parameters: dict[str, str] | None) -> None:
    assert RoomPattern(pattern).match(name) == parameters


@pytest.mark.parametrize(
    "pattern, text",
    [
        ("", "A room needs a name: '{name}' stands for any."),
        ("{", "The room '{' cannot be read: a parameter is {name}, and two of them need text between."),
        ("a}", "The room 'a}' cannot be read: a parameter is {name}, and two of them need text between."),
        ("{}", "The room '{}' cannot be read: a parameter is {name}, and two of them need text between."),
        ("{a}{b}", "The room '{a}{b}' cannot be read: a parameter is {name}, and two of them need text between."),
        ("{a}-{a}", "The room '{a}-{a}' has two parameters 'a'."),
    ],
)  # fmt: skip
def test_what_cannot_be_a_pattern_is_refused(pattern: str, text: str) -> None:
    assert refusal(lambda: RoomPattern(pattern)) == text


@pytest.mark.parametrize(
    "one, two, overlap",
    [
        ("a", "a", True),
        ("a", "b", False),
        ("{x}", "lobby", True),
        ("{x}", "no lobby", False),
        ("team-{x}", "{y}", True),
        ("team-{x}", "user-{y}", False),
        ("{x}-a", "b-{y}", True),
        ("{x}:a", "b-{y}", False),
        ("{x}/{y}", "{z}", False),
        ("a{x}", "a", False),
    ],
)  # fmt: skip
def test_patterns_overlap_where_one_name_could_be_either(one: str, two: str, overlap: bool) -> None:
    assert RoomPattern(one).overlaps(RoomPattern(two)) is overlap
    assert RoomPattern(two).overlaps(RoomPattern(one)) is overlap


parts = st.lists(st.sampled_from(["a", "b", "-", "/", "{}"]), min_size=1, max_size=5)


def pattern_of(parts: list[str]) -> str:
    assume("{}{}" not in "".join(parts))
    return "".join(f"{{p{index}}}" if part == "{}" else part for index, part in enumerate(parts))


@given(parts, parts, st.data())
def test_overlap_agrees_with_names(one: list[str], two: list[str], data: st.DataObject) -> None:
    first, second = RoomPattern(pattern_of(one)), RoomPattern(pattern_of(two))
    name = data.draw(
        st.from_regex(re.compile(re.sub(r"\{p\d\}", "[ab-]{1,4}", first.pattern)), fullmatch=True)
    )
    assert first.match(name) is not None
    if second.match(name) is not None:
        assert first.overlaps(second)
        assert second.overlaps(first)


@given(parts, parts)
def test_who_overlaps_has_a_name_in_common(one: list[str], two: list[str]) -> None:
    first, second = RoomPattern(pattern_of(one)), RoomPattern(pattern_of(two))
    assert first.overlaps(second) == any(second.match(name) is not None for name in names(one, len(two)))


def names(parts: list[str], longest: int) -> list[str]:
    """Enough names of a pattern to meet another one of ``longest`` parts, if any do."""
    found = [""]
    for part in parts:
        choices = [part]
        if part == "{}":
            choices, last = [], [""]
            for _ in range(longest):
                last = [name + letter for name in last for letter in "ab-"]
                choices += last
        found = [name + choice for name in found for choice in choices]
    return found


def test_a_table_finds_the_declaration_of_a_name() -> None:
    history = History(size=10)
    table = RoomTable(
        [RoomSpec(RoomPattern("team-{team}"), history), RoomSpec(RoomPattern("lobby"), presence=False)]
    )
    spec, parameters = table.find("team-red")
    assert (spec.history, parameters) == (history, {"team": "red"})
    with pytest.raises(NotFound) as caught:
        table.find("user-red")
    assert caught.value.detail == "There is no such room."


def test_overlapping_rooms_of_a_table_name_both_places() -> None:
    specs = [RoomSpec(RoomPattern("{a}"), place="one"), RoomSpec(RoomPattern("x-{b}"), place="two")]
    assert refusal(lambda: RoomTable(specs)) == (
        "two: the room 'x-{b}' overlaps '{a}' of one: one name could be either. "
        "Put different text before or behind the parameters."
    )


async def test_a_handle_asks_the_hub_and_creates_nothing() -> None:
    asked: list[tuple[Any, ...]] = []

    class Hub:
        async def publish(self, *args: Any, **options: Any) -> Delivery:
            asked.append((*args, options))
            return Delivery(receivers=2)

        async def members(self, *args: Any) -> Any:
            asked.append(args)

        async def room_history(self, *args: Any) -> Any:
            asked.append(args)

    room = Rooms(Hub())["a"]
    message: Any = object()
    assert (await room.publish(message, key="k")).receivers == 2
    await room.members()
    await room.history(limit=3)
    assert asked == [("a", message, {"exclude": None, "key": "k"}), ("a",), ("a", None, 3)]
    assert (repr(room), isinstance(room, Room)) == ("Room('a')", True)


def test_a_parameter_is_the_alphabet_of_the_documentation() -> None:
    assert PARAMETER == "[A-Za-z0-9_-]{1,64}"


# Registering.


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
