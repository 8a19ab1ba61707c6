"""The values that several messages share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

RoomName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="The name of a room.")]
UserName = Annotated[str, Field(min_length=1, max_length=64, description="The name of a user.")]
Text = Annotated[str, Field(min_length=1, max_length=4096, description="What is said.")]
Status = Literal["online", "away", "busy"]


class Since(BaseModel):
    """The position of the last message that a client saw."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    offset: Annotated[int, Field(ge=0, le=2**53)]
    epoch: Annotated[str, Field(min_length=1, max_length=64)]


class Member(BaseModel):
    """A user in a room."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    user: UserName
    status: Status
