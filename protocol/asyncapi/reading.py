"""An AsyncAPI document as its readers need it: references followed, messages by channel and direction.

For documents of anybody: nothing is assumed but version 3 of the specification. What is wrong with one is said by
:mod:`protocol.asyncapi.lint`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from protocol.asyncapi.draft07 import JsonSchema
from protocol.exceptions import ConfigurationError

if TYPE_CHECKING:
    import jsonschema_rs

Action = Literal["receive", "send"]


@dataclass(frozen=True, slots=True)
class Payload:
    """A message of a document. ``pointer`` is where it stands; ``schema`` is complete in itself."""

    pointer: str
    name: str
    schema: JsonSchema

    def validator(self) -> "jsonschema_rs.Draft7Validator":
        """A validator of the schema, formats included. Raises ``ValueError`` where it is none."""
        try:
            import jsonschema_rs
        except ImportError as error:
            raise ImportError(
                "Validating by a document needs jsonschema-rs, which is not installed: pip install 'fastapi-protocol[fuzz]'"
            ) from error
        return jsonschema_rs.Draft7Validator(self.schema, validate_formats=True)


class Reader:
    """Reads one document, decoded from JSON or YAML."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    @classmethod
    def load(cls, text: str) -> "Reader":
        """Read JSON, or YAML where PyYAML is installed. Raises ``ConfigurationError``."""
        document = _decoded(text)
        if not isinstance(document, dict) or not str(document.get("asyncapi", "")).startswith("3."):
            raise ConfigurationError(
                "An AsyncAPI document of version 3 was expected: it begins with asyncapi: 3.1.0."
            )
        return cls(document)

    def resolve(self, node: Any) -> Any:
        """What ``node`` stands for: the target of a reference, through others, or itself.

        Raises ``ConfigurationError`` for a reference that leads nowhere, in a circle, or out of the document.
        """
        seen: list[str] = []
        while isinstance(node, Mapping) and isinstance(pointer := node.get("$ref"), str):
            if pointer in seen:
                raise ConfigurationError(f"The reference {pointer!r} leads in a circle.")
            seen.append(pointer)
            node = self.at(pointer)
        return node

    def at(self, pointer: str) -> Any:
        """What stands at a JSON pointer in a fragment (RFC 6901, section 6)."""
        if not pointer.startswith("#/"):
            raise ConfigurationError(f"The reference {pointer!r} leaves the document.")
        found: Any = self.document
        for part in pointer[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name) if isinstance(found, list) else name]
            except (LookupError, TypeError, ValueError):
                raise ConfigurationError(f"The reference {pointer!r} leads nowhere.") from None
        return found

    def channels(self) -> Mapping[str, Mapping[str, Any]]:
        """The channels, by key."""
        return {name: self.resolve(one) for name, one in self.document.get("channels", {}).items()}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        """The operations, by key."""
        return {name: self.resolve(one) for name, one in self.document.get("operations", {}).items()}

    def messages(self, channel: str, action: Action) -> Iterator[Payload]:
        """What the server receives or sends on ``channel``; replies are sent too."""
        own = self.channels()[channel]
        found: dict[str, None] = {}
        for operation in self.operations().values():
            asked = operation.get("action")
            if asked == action and self.resolve(operation.get("channel")) is own:
                found.update(dict.fromkeys(self.pointers(operation)))
            reply = self.reply(operation)
            if asked != action and reply is not None and self.resolve(reply["channel"]) is own:
                found.update(dict.fromkeys(self.pointers(reply)))
        for pointer in found:
            yield self.payload(pointer)

    def reply(self, operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The reply of an operation, on the operation's channel unless it names one; ``None`` without messages."""
        reply = self.resolve(operation.get("reply", {}))
        if not reply.keys() & {"channel", "messages"}:
            return None
        return {"channel": operation.get("channel"), **reply}

    def pointers(self, operation: Mapping[str, Any]) -> list[str]:
        """Where the messages of an operation, or of a reply, stand: all of its channel's unless it names them."""
        if "messages" in operation:
            return [one["$ref"] for one in operation["messages"]]
        channel = operation["channel"]
        return [
            f"{channel['$ref']}/messages/{escaped(name)}"
            for name in self.resolve(channel).get("messages", {})
        ]

    def message(self, pointer: str) -> Mapping[str, Any]:
        """The message at ``pointer``, with what it has of its traits; its own word goes before theirs."""
        found: Mapping[str, Any] = self.resolve({"$ref": pointer})
        for trait in reversed(found.get("traits", ())):
            found = {**self.resolve(trait), **found}
        return found

    def payload(self, pointer: str) -> Payload:
        """The message at ``pointer``."""
        message = self.message(pointer)
        return Payload(
            pointer, message.get("name", pointer.rpartition("/")[2]), self.schema(message.get("payload", {}))
        )

    def schema(self, node: Any) -> JsonSchema:
        """A schema complete in itself: what it refers to is under ``components``, as in the document."""
        found = self.resolve(node)
        if isinstance(found, Mapping) and "schemaFormat" in found:
            found = self.resolve(found["schema"])
        if not isinstance(found, Mapping):
            found = {} if found else {"not": {}}
        schemas = self.document.get("components", {}).get("schemas", {})
        return {**found, "components": {"schemas": schemas}} if schemas else dict(found)


def escaped(name: str) -> str:
    """``name`` as a part of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        import yaml
    except ImportError:
        raise ConfigurationError(
            "The document is no JSON. If it is YAML: pip install 'fastapi-protocol[fuzz]'"
        ) from None
    try:
        return yaml.load(text, _json_loader())  # noqa: S506 it is a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"The document is neither JSON nor YAML: {error}") from None


def _json_loader() -> Any:
    """A safe loader for what JSON can say: a date is a text, as AsyncAPI demands ("Format")."""
    import yaml

    class JsonLoader(yaml.SafeLoader):
        pass

    JsonLoader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return JsonLoader
