"""A pot that is empty is shared out: the handler divides by the number of those who have put something in.

It shows only after a pot was opened; before that the handler says so.
"""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from protocol import Connection, Message, MessageProtocol, Reject

CHECK = "server_error"
SHORTEST = [
    {"do": "connect", "client": 0},
    {"do": "send", "client": 0, "message": {"type": "open"}},
    {"do": "send", "client": 0, "message": {"type": "share"}},
]


class Open(Message, type="open"): ...


class Give(Message, type="give"):
    amount: Annotated[int, Field(ge=0, le=1000)]


class Share(Message, type="share"): ...


class Shared(Message, type="shared"):
    each: int


class NothingToShare(Reject, code="nothing_to_share"): ...


def create_app(bug: bool) -> FastAPI:
    pots = MessageProtocol("Pots")

    @pots.on(Open)
    async def open_pot(message: Open, connection: Connection) -> None:
        connection.state.pot = []

    @pots.on(Give, raises=NothingToShare)
    async def give(message: Give, connection: Connection) -> None:
        pot_of(connection).append(message.amount)

    @pots.on(Share, emits=Shared, raises=NothingToShare)
    async def share(message: Share, connection: Connection) -> Shared:
        pot = pot_of(connection)
        if not pot and not bug:
            raise NothingToShare
        return Shared(each=sum(pot) // len(pot))

    app = FastAPI()
    app.include_router(pots.router)
    return app


def pot_of(connection: Connection) -> list[int]:
    pot: list[int] | None = getattr(connection.state, "pot", None)
    if pot is None:
        raise NothingToShare
    return pot
