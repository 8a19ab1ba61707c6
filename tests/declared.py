"""Whatever a server sends in any test is in its document, and valid."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import jsonschema_rs
import orjson

from protocol import MessageProtocol
from protocol.asyncapi import Reader, document
from protocol.asyncapi.served import sockets
from protocol.codecs import JSON

Validators = Mapping[str, Sequence[jsonschema_rs.Draft7Validator]]

_apps: WeakKeyDictionary[Any, list[tuple[re.Pattern[str], Validators]]] = WeakKeyDictionary()
# Factories make the same protocol again for every test, and for every example of a fuzzer.
_protocols: dict[object, Validators] = {}


def complaint(app: Any, path: str, frame: str | bytes) -> str | None:
    """What is wrong with a frame that ``app`` sent on ``path``; frames of other endpoints are nobody's business."""
    if app not in _apps:
        _apps[app] = list(_channels(app))
    for address, validators in _apps[app]:
        if address.fullmatch(path):
            return _complaint(validators, orjson.loads(frame))
    return None


def _complaint(validators: Validators, message: Any) -> str | None:
    tags = [value for value in message.values() if isinstance(value, str) and value in validators]
    errors = [[str(error) for error in one.iter_errors(message)] for tag in tags for one in validators[tag]]
    if not errors:
        return f"The document declares no such message: {message}"
    return None if not all(errors) else f"The document declares it otherwise: {message}\n{errors}"


def _channels(app: Any) -> Iterator[tuple[re.Pattern[str], Validators]]:
    for socket in sockets(app):
        protocol = socket.protocol
        if isinstance(protocol, MessageProtocol) and protocol.codec is JSON:
            yield re.compile(re.sub(r"\{[^}]*\}", "[^/]+", socket.path)), _validators(app, protocol)


def _validators(app: Any, protocol: MessageProtocol) -> Validators:
    outbound = protocol.registry.outbound
    key = (protocol.envelope, tuple(outbound.models.items()))
    if key not in _protocols:
        reader = Reader(document(app, protocol))
        found: dict[str, list[jsonschema_rs.Draft7Validator]] = {}
        for channel in reader.channels():
            for message in reader.messages(channel, "send"):
                found.setdefault(message.name, []).append(message.validator())
        _protocols[key] = found
    return _protocols[key]
