from protocol.presence import LEASE_SECONDS, MemoryPresence, Presence
from tests.calls import done


def test_no_call_suspends() -> None:
    store: Presence = MemoryPresence()
    done(store.connect("u", "c"))
    assert done(store.join("r", "u", "c"))
    assert done(store.members("r")).count == 1
    assert done(store.set_status("u", "away")) == ("r",)
    done(store.renew(["c"]))
    assert done(store.leave("r", "u", "c"))
    assert done(store.disconnect("u", "c")) == ()


def test_nothing_is_left_of_20_000_connections_that_came_and_went() -> None:
    store = MemoryPresence()
    for number in range(20_000):
        done(store.connect(f"user{number % 5000}", str(number)))
        done(store.join(f"room{number % 500}", f"user{number % 5000}", str(number)))
    assert len(store) == 20_000 + 5000 + 500
    for number in range(20_000):
        done(store.disconnect(f"user{number % 5000}", str(number)))
    assert len(store) == 0


def test_nothing_is_left_of_a_crashed_node_once_its_departures_are_claimed() -> None:
    now = 0.0
    store = MemoryPresence(monotonic=lambda: now)
    for number in range(1000):
        done(store.connect(f"user{number}", str(number)))
        done(store.join("r", f"user{number}", str(number)))
    now = LEASE_SECONDS
    assert done(store.members("r")).count == 0
    assert len(store) == 1000
    assert len(done(store.renew([])).departures) == 1000
    assert len(store) == 0
