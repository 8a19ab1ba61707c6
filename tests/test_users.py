from typing import Any

from protocol import Delivery, Users, codes


async def test_a_handle_asks_the_hub_and_creates_nothing() -> None:
    asked: list[tuple[Any, ...]] = []

    class Hub:
        async def send_to_user(self, *args: Any) -> Delivery:
            asked.append(args)
            return Delivery(receivers=1)

        def connections_of(self, user: str) -> tuple[Any, ...]:
            asked.append((user,))
            return ()

        async def disconnect_user(self, *args: Any) -> None:
            asked.append(args)

    user = Users(Hub())["bob"]
    message: Any = object()
    assert (await user.send(message)).receivers == 1
    await user.disconnect()
    await user.disconnect(4000, "bye")
    assert (repr(user), user.connections()) == ("UserHandle('bob')", ())
    assert asked == [
        ("bob", message, None),
        ("bob", codes.CLOSE_FORBIDDEN, None),
        ("bob", 4000, "bye"),
        ("bob",),
    ]
