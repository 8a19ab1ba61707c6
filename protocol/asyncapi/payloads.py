"""The messages of a document: one for each tag and direction, with a valid example."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel

from protocol.asyncapi.draft07 import JsonSchema
from protocol.asyncapi.examples import NoExample, example
from protocol.asyncapi.schemas import Schemas, key
from protocol.exceptions import RemoteProtocolError
from protocol.messages import CLOSE, slow_policy
from protocol.registry import MessageUnion, Registry

Action = Literal["receive", "send"]

REQUEST: Final = "request"
ANSWER: Final = "answer"


class Payloads:
    """The messages of a registry, but those whose tag is in ``without``.

    Attributes:
        messages: the message objects, by key.
        correlations: the correlation ids that they refer to.
    """

    def __init__(
        self,
        registry: Registry,
        schemas: Schemas,
        *,
        without: tuple[str | None, ...] = (),
        error_codes: tuple[str, ...] = (),
    ) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.correlations: dict[str, dict[str, str]] = {}
        self._schemas = schemas
        self._error = registry.envelope.error
        self._error_codes = error_codes
        self._keys: dict[tuple[Action, type[BaseModel]], list[str]] = {}
        envelope = registry.envelope
        for action, union, name, role in (
            ("receive", registry.inbound, envelope.id, REQUEST),
            ("send", registry.outbound, envelope.ref, ANSWER),
        ):
            if name is not None:
                self.correlations[role] = {"location": f"$message.payload#/{name}"}
            for tag in union.models:
                if tag not in without or action == "send":
                    self._add(action, union, tag, None if name is None else role)  # type: ignore[arg-type]

    def of(self, action: Action, model: type[BaseModel]) -> list[str]:
        """The keys of the messages of ``model`` in one direction."""
        return self._keys.get((action, model), [])

    def tagged(self, action: Action, tag: str | None) -> list[str]:
        """The key of the message with ``tag`` in one direction, if there is one."""
        return [
            name
            for name, message in self.messages.items()
            if message["name"] == tag and name.startswith(f"{action}.")
        ]

    def sample(self, field: str) -> str | None:
        """What an example of an inbound message has in ``field``."""
        for name, message in self.messages.items():
            for found in message.get("examples", ()) if name.startswith("receive.") else ():
                if isinstance(value := found["payload"].get(field), str):
                    return value
        return None

    def _add(self, action: Action, union: MessageUnion, tag: str, role: str | None) -> None:
        model = union.models[tag]
        payload = self._schemas.add(union.schema(tag))
        own = payload.pop("examples", [])
        if action == "send" and tag == self._error:
            payload["properties"]["code"]["examples"] = list(self._error_codes)
        message: dict[str, Any] = {"name": tag, "title": model.__name__}
        message.update(described(payload.pop("description", None)))
        message["payload"] = payload
        if role is not None:
            message["correlationId"] = {"$ref": f"#/components/correlationIds/{role}"}
        examples = [{union.discriminator: tag, **one} for one in own if isinstance(one, dict)]
        if found := examples or list(self._made(union, payload)):
            message["examples"] = [{"payload": one} for one in found]
        if action == "send" and (slow := slow_policy(model)) != CLOSE:
            message["x-slow"] = {"policy": slow.policy, **({} if slow.key is None else {"key": slow.key})}
        name = unique(self.messages, f"{action}.{key(tag)}")
        self.messages[name] = message
        self._keys.setdefault((action, model), []).append(name)

    def _made(self, union: MessageUnion, payload: JsonSchema) -> Iterator[dict[str, Any]]:
        """The shortest message, and one with all of its members, as far as both are valid."""
        seen: list[dict[str, Any]] = []
        for full in (False, True):
            try:
                found = example(payload, self._schemas.components, full=full)
                union.decode(orjson.dumps(found))
            except (NoExample, RemoteProtocolError):
                continue
            if found not in seen:
                seen.append(found)
                yield found


def described(text: str | None) -> dict[str, str]:
    """``summary`` and ``description`` of a docstring."""
    if not text:
        return {}
    summary, _, rest = text.strip().partition("\n\n")
    found = {"summary": " ".join(summary.split())}
    return {**found, "description": rest.strip()} if rest.strip() else found


def unique(taken: Mapping[str, object], name: str) -> str:
    """``name``, or the first free one behind it."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
