"""The control messages: ``ack`` and ``error``, ``ping`` and ``pong``, ``cancel``, ``authenticate``.

Their tags can be renamed, or the messages removed, by :class:`protocol.envelope.Envelope`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, create_model

from protocol.messages import Message
from protocol.types import MAX_INTEGER


class Ack(Message, type="ack"):
    """The message with the id ``ref`` was handled; there is nothing else to say."""


class ErrorItem(BaseModel):
    """One thing that is wrong with a message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    loc: list[str | int]
    """The path to the place; a part that the schema does not know is ``?``."""
    type: str
    msg: str


class Error(Message, type="error"):
    """The message with the id ``ref``, or a frame that had none, was refused."""

    code: str
    """What went wrong, for a program."""
    detail: str
    """What went wrong, for a person."""
    retryable: bool
    """Whether the same message may succeed later."""
    errors: list[ErrorItem] | None = Field(default=None, max_length=5)
    """What was wrong with the message, at most five items."""
    retry_after: Annotated[float, Field(ge=0)] | None = None
    """Seconds to wait before sending again."""
    error_id: str | None = None
    """Found in the server's log too."""


class Ping(Message, type="ping"):
    """Answered by ``pong`` in its turn: everything sent before has been handled by then."""


class Pong(Message, type="pong"):
    """The answer to ``ping``."""


class Cancel(Message, type="cancel"):
    """End the message with the id ``ref``, queued or under way. Overtakes what is queued."""

    ref: Annotated[str, Field(max_length=64)] | Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]


class Authenticate(Message, type="authenticate"):
    """Show a fresh token for the same subject; anything else closes the connection with 3500."""

    token: Annotated[str, Field(min_length=1)]


def renamed(model: type[Message], discriminator: str, tag: str) -> type[Message]:
    """``model`` under another tag or discriminator; the same class where nothing differs."""
    if (discriminator, tag) == ("type", model.model_fields["type"].default):
        return model
    fields = {name: (field.annotation, field) for name, field in model.model_fields.items() if name != "type"}
    made: type[Message] = create_model(
        model.__name__,
        __base__=Message,
        __doc__=model.__doc__,
        __cls_kwargs__={"type": tag, "discriminator": discriminator},
        **fields,
    )  # type: ignore[call-overload]
    return made
