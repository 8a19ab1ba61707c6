"""Change, drop or refuse messages on their way, without touching the handlers.

Inbound transforms run before the handler, outbound ones once per publication, and those ``per_recipient`` once for each
connection. Run it with ``protocol run examples.transforms:app``.
"""

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol, Reject, Room
from protocol.transforms import Censor, Trim


class Enter(Message, type="enter"):
    room: str
    language: str = "en"


class Say(Message, type="say"):
    room: str
    text: str


class Said(Message, type="said"):
    text: str
    note: str = ""


class Shouting(Reject, code="shouting"): ...


notes = {"en": "Be kind.", "de": "Sei freundlich."}
board = MessageProtocol("Board")
board.transform(types=Say)(Trim(fields=["text"]))
board.transform(types=Say)(Censor(["damn", "verdammt"], fields=["text"]))


@board.transform
def no_shouting(message: Say) -> Say | None:
    if not message.text:
        return None  # dropped: the sender gets an ack, and nobody anything
    if message.text.isupper():
        raise Shouting(detail="Please do not shout.")
    return message


@board.transform(per_recipient=True)
def in_your_language(message: Said, connection: Connection) -> Said:
    return message.replace(note=notes[connection.state.language])


@board.room("{name}")
async def anyone(connection: Connection, name: str) -> None: ...


@board.on(Enter)
async def enter(message: Enter, connection: Connection) -> None:
    connection.state.language = message.language if message.language in notes else "en"
    await connection.join(message.room)


@board.on(Say, emits=Said, raises=[Shouting])
async def say(message: Say, room: Room) -> None:
    await room.publish(Said(text=message.text))


app = FastAPI()
app.include_router(board.router)
