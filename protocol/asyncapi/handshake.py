"""What a handshake has to carry: security, query and headers, from the middleware and from FastAPI's dependencies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.security.base import SecurityBase
from pydantic import TypeAdapter

from protocol.asyncapi.draft07 import JsonSchema
from protocol.asyncapi.schemas import Schemas
from protocol.asyncapi.served import Layer, Socket
from protocol.middleware.jwt_auth import JWTAuthMiddleware
from protocol.middleware.origin import OriginMiddleware

_JWT: Final = "A JSON Web Token"


@dataclass(slots=True)
class Handshake:
    """The handshake of one socket.

    ``schemes``: any one of these security schemes is enough; without one where they are ``optional``.
    ``verifies``: a token in band is taken, by the ``authenticate`` message.
    """

    schemes: dict[str, dict[str, Any]] = field(default_factory=dict)
    optional: bool = False
    verifies: bool = False
    query: JsonSchema = field(default_factory=lambda: {"type": "object", "properties": {}})
    headers: JsonSchema = field(default_factory=lambda: {"type": "object", "properties": {}})

    @classmethod
    def of(cls, socket: Socket, schemas: Schemas) -> "Handshake":
        handshake = cls()
        for layer in socket.layers:
            if issubclass(layer.cls, JWTAuthMiddleware):
                handshake._jwt(layer)
            elif issubclass(layer.cls, OriginMiddleware):
                handshake._origin(layer)
        for dependant in _flat(socket.dependant):
            handshake._dependency(dependant, schemas)
        return handshake

    @property
    def binding(self) -> dict[str, Any]:
        """The channel's ``ws`` binding."""
        schemas = {"query": self.query, "headers": self.headers}
        taken = {name: schema for name, schema in schemas.items() if schema["properties"]}
        return {"method": "GET", **taken, "bindingVersion": "0.1.0"}

    def _jwt(self, layer: Layer) -> None:
        name = layer.options["name"]
        self.verifies = True
        self.optional = not layer.options["required"]
        for source in layer.options["sources"]:
            self.schemes[f"jwt-{source}"] = _scheme(source, name)

    def _origin(self, layer: Layer) -> None:
        origins = layer.options["origins"]
        schema: JsonSchema = {"type": "string", "description": "The origin of the page that connects."}
        if origins is not None:
            schema["enum"] = sorted(origins)
        _add(self.headers, "Origin", schema, required=not layer.options["missing"])

    def _dependency(self, dependant: Dependant, schemas: Schemas) -> None:
        if isinstance(dependant.call, SecurityBase):
            scheme = dependant.call.model.model_dump(mode="json", by_alias=True, exclude_none=True)
            self.schemes[dependant.call.scheme_name] = _translated(scheme)
        for schema, parameters in (
            (self.query, dependant.query_params),
            (self.headers, dependant.header_params),
        ):
            for parameter in parameters:
                info = parameter.field_info
                if not getattr(info, "include_in_schema", True):
                    continue
                annotation: Any = Annotated[info.annotation, info]
                found = schemas.add(TypeAdapter(annotation).json_schema())
                _add(schema, parameter.alias, found, required=info.is_required())


def _flat(dependant: Dependant | None) -> Iterator[Dependant]:
    if dependant is not None:
        yield dependant
        for inner in dependant.dependencies:
            yield from _flat(inner)


def _add(schema: JsonSchema, name: str, found: JsonSchema, *, required: bool) -> None:
    schema["properties"][name] = found
    if required and name not in schema.get("required", ()):
        schema["required"] = [*schema.get("required", ()), name]


def _scheme(source: str, name: str) -> dict[str, Any]:
    """How a token comes in one of the sources of ``JWTAuthMiddleware``."""
    match source:
        case "header":
            return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": f"{_JWT}."}
        case "subprotocol":
            return {
                "type": "httpApiKey",
                "in": "header",
                "name": "Sec-WebSocket-Protocol",
                "description": f"{_JWT} as the subprotocol behind `bearer`: `bearer, <token>`. The server selects `bearer`.",
            }
    return {"type": "httpApiKey", "in": source, "name": name, "description": f"{_JWT}."}


def _translated(scheme: Mapping[str, Any]) -> dict[str, Any]:
    """A security scheme of OpenAPI in the words of AsyncAPI."""
    found = dict(scheme)
    if found["type"] == "apiKey":
        found["type"] = "httpApiKey"
    if found["type"] == "http" and found["scheme"] != "bearer":
        found.pop("bearerFormat", None)
    if "flows" in found:
        found["flows"] = {
            name: {("availableScopes" if key == "scopes" else key): value for key, value in flow.items()}
            for name, flow in found["flows"].items()
        }
    return found
