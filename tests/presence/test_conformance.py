"""What every presence store must do. A new one is added to ``STORES``, and passes this unchanged."""

from protocol.presence import LEASE_SECONDS, ONLINE, Departure, Member, Members, Presence, Renewal
from tests.presence.stores import Stores


async def listed(store: Presence, room: str = "r") -> list[str]:
    members = await store.members(room)
    assert members.count == len(members.users)
    return [member.user for member in members.users]


async def enter(store: Presence, room: str, user: str, connection: str) -> bool:
    """Join with a connection that counts; true for the user's first one there."""
    await store.connect(user, connection)
    joined = await store.join(room, user, connection)
    assert joined is not None
    return joined


async def test_a_user_is_in_a_room_while_one_connection_is(stores: Stores) -> None:
    a, b = stores.store(), stores.store()
    assert await enter(a, "r", "alice", "c1")
    assert not await enter(b, "r", "alice", "c2")
    assert await b.members("r") == Members(1, (Member("alice", ONLINE),))
    assert not await a.leave("r", "alice", "c1")
    assert await listed(a) == ["alice"]
    assert await b.leave("r", "alice", "c2")
    assert await a.members("r") == Members(0, ())


async def test_joining_or_leaving_twice_changes_nothing(stores: Stores) -> None:
    store = stores.store()
    assert await enter(store, "r", "alice", "c1")
    assert not await enter(store, "r", "alice", "c1")
    assert await store.leave("r", "alice", "c1")
    assert not await store.leave("r", "alice", "c1")
    assert not await store.leave("r", "alice", "unknown")
    assert await listed(store) == []


async def test_a_disconnect_tells_the_rooms_that_the_user_has_left(stores: Stores) -> None:
    a, b = stores.store(), stores.store()
    for room in ("r", "s", "t"):
        await enter(a, room, "alice", "c1")
    await enter(b, "s", "alice", "c2")
    assert set(await a.disconnect("alice", "c1")) == {"r", "t"}
    assert await a.disconnect("alice", "c1") == ()
    assert await listed(b, "s") == ["alice"]
    assert await b.disconnect("alice", "c2") == ("s",)


async def test_members_stand_in_the_order_in_which_the_users_came(stores: Stores) -> None:
    store = stores.store()
    for user in ("zoe", "adam", "mia"):
        await enter(store, "r", user, f"{user}-1")
    await enter(store, "r", "zoe", "zoe-2")
    await store.leave("r", "zoe", "zoe-1")
    assert await listed(store) == ["zoe", "adam", "mia"]
    await store.leave("r", "zoe", "zoe-2")
    await enter(store, "r", "zoe", "zoe-1")
    assert await listed(store) == ["adam", "mia", "zoe"]


async def test_the_first_are_listed_and_all_are_counted(stores: Stores) -> None:
    store = stores.store()
    for number in range(250):
        await enter(store, "r", f"user{number}", f"c{number}")
    members = await store.members("r")
    assert (members.count, len(members.users)) == (250, 200)
    assert members.users[199].user == "user199"
    assert await store.members("r", limit=0) == Members(250, ())
    assert (await store.members("r", limit=1)).users == (Member("user0", ONLINE),)


# Status.


async def test_a_status_is_seen_in_every_room_and_its_change_is_told_once(stores: Stores) -> None:
    a, b = stores.store(), stores.store()
    await enter(a, "r", "alice", "c1")
    await enter(b, "s", "alice", "c2")
    await enter(b, "r", "alice", "c2")
    assert sorted(await a.set_status("alice", "away") or ()) == ["r", "s"]
    assert await b.set_status("alice", "away") is None
    for room in ("r", "s"):
        assert (await b.members(room)).users == (Member("alice", "away"),)


async def test_a_status_lasts_until_the_last_connection_is_gone(stores: Stores) -> None:
    store = stores.store()
    await store.connect("alice", "c1")
    assert await store.set_status("alice", "away") == ()
    await enter(store, "r", "alice", "c2")
    await store.leave("r", "alice", "c2")
    await store.disconnect("alice", "c2")
    await enter(store, "r", "alice", "c3")
    assert (await store.members("r")).users == (Member("alice", "away"),)
    await store.disconnect("alice", "c3")
    await store.disconnect("alice", "c1")
    await enter(store, "r", "alice", "c4")
    assert (await store.members("r")).users == (Member("alice", ONLINE),)


async def test_who_is_not_there_has_no_status_to_set(stores: Stores) -> None:
    store = stores.store()
    assert await store.set_status("alice", "away") is None
    await store.connect("alice", "c1")
    assert await store.set_status("alice", ONLINE) is None
    assert await store.set_status("alice", "away") == ()


# Leases.


async def test_a_connection_that_is_not_renewed_is_gone_from_every_answer(stores: Stores) -> None:
    alive, dead = stores.store(), stores.store()
    await enter(dead, "r", "alice", "c1")
    await dead.set_status("alice", "away")
    await enter(alive, "r", "bob", "c2")
    stores.advance(LEASE_SECONDS - 1)
    assert await alive.renew(["c2"]) == Renewal((), ())
    assert await listed(alive) == ["alice", "bob"]
    stores.advance(2)
    assert await listed(alive) == ["bob"]
    assert await alive.set_status("alice", "busy") is None
    assert not await alive.leave("r", "alice", "c1")
    assert await alive.disconnect("alice", "c1") == ()


async def test_one_node_is_told_of_a_lapsed_connection(stores: Stores) -> None:
    dead, a, b = stores.store(), stores.store(), stores.store()
    for room in ("r", "s"):
        await enter(dead, room, "alice", "c1")
    stores.advance(LEASE_SECONDS + 1)
    renewal = await a.renew([])
    assert set(renewal.departures) == {Departure("alice", "r"), Departure("alice", "s")}
    assert len(renewal.departures) == 2
    assert (await b.renew([])).departures == ()


async def test_a_user_with_another_connection_in_the_room_has_not_departed(stores: Stores) -> None:
    dead, alive = stores.store(), stores.store()
    for room in ("r", "s"):
        await enter(dead, room, "alice", "c1")
    await enter(alive, "r", "alice", "c2")
    stores.advance(LEASE_SECONDS - 1)
    await alive.renew(["c2"])
    stores.advance(2)
    assert (await alive.renew(["c2"])).departures == (Departure("alice", "s"),)
    assert await listed(alive, "r") == ["alice"]


async def test_who_comes_back_before_the_departure_is_claimed_was_never_away(stores: Stores) -> None:
    dead, alive = stores.store(), stores.store()
    await enter(dead, "r", "alice", "c1")
    stores.advance(LEASE_SECONDS + 1)
    assert not await enter(alive, "r", "alice", "c2")
    assert (await alive.renew(["c2"])).departures == ()
    assert await alive.leave("r", "alice", "c2")


async def test_who_comes_back_after_that_is_announced_again(stores: Stores) -> None:
    dead, alive = stores.store(), stores.store()
    await enter(dead, "r", "alice", "c1")
    stores.advance(LEASE_SECONDS + 1)
    assert (await alive.renew([])).departures == (Departure("alice", "r"),)
    assert await enter(alive, "r", "alice", "c2")


async def test_a_node_that_renews_too_late_is_told_what_it_has_lost(stores: Stores) -> None:
    late, other = stores.store(), stores.store()
    await enter(late, "r", "alice", "c1")
    await late.connect("alice", "c2")
    stores.advance(LEASE_SECONDS + 1)
    assert await late.renew(["c1", "c2"]) == Renewal((Departure("alice", "r"),), ("c1", "c2"))
    await late.connect("alice", "c1")
    assert await late.join("r", "alice", "c1")
    assert await late.renew(["c1"]) == Renewal((), ())
    assert await listed(other) == ["alice"]


async def test_every_call_with_a_connection_of_ones_own_keeps_it(stores: Stores) -> None:
    store = stores.store()
    await store.connect("alice", "c1")
    stores.advance(LEASE_SECONDS - 1)
    await store.join("r", "alice", "c1")
    stores.advance(LEASE_SECONDS - 1)
    await store.connect("alice", "c1")
    stores.advance(LEASE_SECONDS - 1)
    assert await store.renew(["c1"]) == Renewal((), ())
    assert await listed(store) == ["alice"]


async def test_who_has_lapsed_is_in_no_room_by_joining_another(stores: Stores) -> None:
    store = stores.store()
    await enter(store, "r", "alice", "c1")
    stores.advance(LEASE_SECONDS + 1)
    assert await store.join("s", "alice", "c1") is None
    assert await listed(store, "s") == []
    assert await store.renew(["c1"]) == Renewal((Departure("alice", "r"),), ("c1",))
