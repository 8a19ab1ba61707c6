"""Where the tables of an application are found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket

from protocol import Connection, Message, MessageProtocol
from protocol.fuzzing.tables import Tables
from tests.served import served


class Note(Message, type="note"):
    text: str


class Slotted:
    __slots__ = ("__seen", "unset")

    def __init__(self) -> None:
        self.__seen: list[int] = []

    def see(self) -> None:
        self.__seen.append(len(self.__seen))


@dataclass(slots=True)
class Below(Slotted):
    notes: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super(Below, self).__init__()


class Desk:
    def __init__(self) -> None:
        self.notes: list[str] = []

    async def note(self, message: Note, connection: Connection) -> None:
        self.notes.append(message.text)

    async def listen(self, socket: WebSocket) -> None: ...

    def write(self) -> None:
        self.notes.append("a")


def grown(app: FastAPI, change: Callable[[], object]) -> dict[str, int]:
    """By how much each table grows."""
    tables = Tables(app)
    before = tables.sizes()
    change()
    return {name: size - before[name] for name, size in tables.sizes().items() if size != before[name]}


def test_what_the_object_of_a_handler_holds_is_counted() -> None:
    chat, desk = MessageProtocol("Desk"), Desk()
    chat.on(Note)(desk.note)
    assert grown(served(chat), desk.write) == {"Desk.note: self": 1}


def test_what_the_object_of_an_endpoint_holds_is_counted() -> None:
    app, desk = FastAPI(), Desk()
    app.add_api_websocket_route("/ws", desk.listen)
    assert grown(app, desk.write) == {"Desk.listen: self": 1}


def test_what_a_dependency_of_an_endpoint_holds_is_counted() -> None:
    app, desk = FastAPI(), Desk()

    def shared() -> Desk:
        return desk

    async def listen(socket: WebSocket, desk: Annotated[Desk, Depends(shared)]) -> None: ...

    app.add_api_websocket_route("/ws", listen)
    assert list(grown(app, desk.write).values()) == [1]


KEPT: list[str] = []


def keep() -> None:
    KEPT.append("a")


def test_what_a_function_that_is_called_by_its_name_holds_is_counted() -> None:
    app = FastAPI()

    async def listen(socket: WebSocket) -> None:
        keep()

    app.add_api_websocket_route("/ws", listen)
    assert list(grown(app, keep).values()) == [1]


def test_what_a_method_that_is_kept_belongs_to_is_counted() -> None:
    app, desk = FastAPI(), Desk()
    app.state.on_note = desk.write
    assert grown(app, desk.write) == {"app.state.on_note": 1}


def test_what_slots_hold_is_counted() -> None:
    app, below = FastAPI(), Below()
    app.state.below = below
    assert grown(app, below.see) == {"app.state.below": 1}
    assert grown(app, lambda: below.notes.update({1: "a", 2: "b"})) == {"app.state.below": 2}
