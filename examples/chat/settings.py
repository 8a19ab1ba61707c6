"""What the environment says of the application."""

import secrets
from typing import Annotated

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Each field is read from ``CHAT_`` and its name; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="CHAT_", frozen=True)

    secret: str = Field(default_factory=lambda: secrets.token_urlsafe(48), min_length=32)
    """Signs tokens; random unless set, so that tokens end with the process."""
    token_seconds: float = Field(default=3600, gt=0)
    origins: Words = ()
    """Pages that may connect; by default those of this machine at the serving port."""
    rate: float = Field(default=10, gt=0)
    burst: int = Field(default=40, ge=1)
    connections_per_user: int = Field(default=20, ge=1)
    connections_per_address: int = Field(default=100, ge=1)
    rooms_per_connection: int = Field(default=32, ge=1)
    censored: Words = ("damn", "crap", "bloody")
    broker: str = "memory://"
    port: int = Field(default=8000, validation_alias=AliasChoices("CHAT_PORT", "PORT"))

    @field_validator("origins", "censored", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        """Split what is separated by commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        return self.origins or tuple(
            f"http://{host}:{self.port}" for host in ("localhost", "127.0.0.1", "[::1]")
        )
