"""The stages that a message passes, without I/O: frame to message, and message to frame.

Inbound: codec, validation, limits, transforms, route. Outbound: transforms, encoding once, envelope, codec. Who
calls the handler and who gets the frames is decided in the asyncio shell; time is an argument.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import BaseModel

from protocol.codecs import Codec
from protocol.envelope import splice
from protocol.exceptions import LocalProtocolError, RateLimited, Reject, RemoteProtocolError
from protocol.limits import Limiter, Rate
from protocol.messages import CLOSE, Slow
from protocol.outbox import Frame
from protocol.registry import Registry
from protocol.types import Ref

MAX_ERROR_FRAME: Final = 1024
MAX_DETAIL: Final = 200

Transform = Callable[[Any], BaseModel | None]
PersonalTransform = Callable[[Any, Any], BaseModel | None]


@dataclass(frozen=True, slots=True)
class Route:
    """What one inbound type passes on its way to its handler.

    ``free``: it does not count against the limit of the connection.
    """

    free: bool = False
    rate_limit: Rate | None = None
    transforms: tuple[Transform, ...] = ()


@dataclass(frozen=True, slots=True)
class Stages:
    """The outbound transforms of one type: for all receivers at once, and for each receiver apart."""

    shared: tuple[Transform, ...] = ()
    personal: tuple[PersonalTransform, ...] = ()


NO_STAGES: Final = Stages()


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error frame says."""

    code: str
    detail: str
    retryable: bool = False
    retry_after: float | None = None
    errors: Sequence[dict[str, Any]] = ()
    error_id: str | None = None

    @classmethod
    def of(cls, error: RemoteProtocolError | Reject) -> "Failure":
        if isinstance(error, Reject):
            return cls(error.code, error.detail, error.retryable)
        return cls(error.code, error.detail, error.retryable, error.retry_after, error.errors)


class Limits:
    """The state of the limit stage on one node: a bucket for each user and type, and one for each connection."""

    def __init__(self, pipeline: "Pipeline") -> None:
        self._by_type = {
            model: Limiter(route.rate_limit)
            for model, route in pipeline.routes.items()
            if route.rate_limit is not None
        }
        self._by_connection = None if pipeline.rate_limit is None else Limiter(pipeline.rate_limit)
        self._free = {model for model, route in pipeline.routes.items() if route.free}

    def admit(self, model: type[BaseModel], user: Hashable, connection: Hashable, now: float) -> None:
        """Raise ``RateLimited`` if a message of ``model`` is over a limit; it then costs nothing."""
        by_type = self._by_type.get(model)
        if by_type is not None and (wait := by_type.take(user, now)):
            raise _limited(wait)
        if self._by_connection is None or model in self._free:
            return
        if wait := self._by_connection.take(connection, now):
            if by_type is not None:
                by_type.refund(user)
            raise _limited(wait)


def _limited(wait: float) -> RateLimited:
    return RateLimited("Too many messages of this kind: wait and send it again.", retry_after=wait)


class Pipeline:
    """The compiled stages of one protocol. Immutable, and shared by all nodes that serve it."""

    def __init__(
        self,
        registry: Registry,
        codec: Codec,
        *,
        routes: Mapping[type[BaseModel], Route],
        stages: Mapping[type[BaseModel], Stages],
        rate_limit: Rate | None = None,
    ) -> None:
        self.registry = registry
        self.envelope = registry.envelope
        self.codec = codec
        self.routes = routes
        self.stages = stages
        self.rate_limit = rate_limit
        self.decode = registry.inbound.decode
        self._transformed = {model for model, transforms in stages.items() if transforms != NO_STAGES}
        self._by_tag = {tag: stages.get(model, NO_STAGES) for tag, model in registry.outbound.models.items()}
        discriminator = registry.outbound.discriminator
        self._ack = self._control(discriminator, self.envelope.ack)
        self._error = self._control(discriminator, self.envelope.error)

    # Inbound.

    def inbound(self, message: BaseModel) -> BaseModel | None:
        """Run the inbound transforms; ``None`` where one dropped the message.

        What they raise passes through: ``Reject``, or pydantic's ``ValidationError`` from a changed copy.
        """
        transforms = self.routes[type(message)].transforms
        if not transforms:
            return message
        for transform in transforms:
            changed = transform(message)
            if changed is None:
                return None
            message = changed
        if type(message) not in self.routes:
            raise LocalProtocolError(
                f"A transform made {type(message).__qualname__} of an inbound message, which is no inbound message."
            )
        return message

    # Outbound.

    def outbound(self, message: BaseModel) -> BaseModel | None:
        """Run the outbound transforms that all receivers share; ``None`` where one dropped the message."""
        for transform in self.stages.get(type(message), NO_STAGES).shared:
            changed = transform(message)
            if changed is None:
                return None
            message = changed
        return message

    def addressed(self, message: BaseModel, connection: object) -> BaseModel | None:
        """Run all outbound transforms, for one receiver; ``None`` where one dropped the message."""
        if type(message) not in self._transformed:
            return message
        shared = self.outbound(message)
        return None if shared is None else self.personal(shared, connection)

    def is_personal(self, tag: str) -> bool:
        """Whether messages with ``tag`` differ between receivers."""
        return bool(self._by_tag[tag].personal) if tag in self._by_tag else False

    def personal(self, message: BaseModel, connection: object) -> BaseModel | None:
        """Run the outbound transforms of one receiver; ``None`` where one dropped the message."""
        for transform in self.stages.get(type(message), NO_STAGES).personal:
            changed = transform(message, connection)
            if changed is None:
                return None
            message = changed
        return message

    def frame(self, message: BaseModel, ref: Ref | None = None, offset: int | None = None) -> Frame:
        """Encode ``message`` with its envelope. Raises ``LocalProtocolError`` for an undeclared type."""
        form = self.registry.form(message)
        slow = form.slow
        return Frame(
            self._payload(form.encode(message), ref, offset),
            form.tag or self.registry.tag(message),
            self.codec.text,
            slow,
            None if slow.key is None else getattr(message, slow.key),
        )

    def framed(
        self,
        body: bytes,
        tag: str,
        ref: Ref | None = None,
        offset: int | None = None,
        *,
        slow: Slow = CLOSE,
        slow_value: Hashable = None,
    ) -> Frame:
        """Put an encoded ``body`` and its envelope into a frame."""
        return Frame(self._payload(body, ref, offset), tag, self.codec.text, slow, slow_value)

    def _payload(self, body: bytes, ref: Ref | None, offset: int | None) -> bytes:
        envelope = self.envelope
        if ref is not None and envelope.ref is not None:
            body = splice(body, envelope.ref, ref)
        if offset is not None and envelope.offset is not None:
            body = splice(body, envelope.offset, offset)
        return self.codec.encode(body)

    def ack(self, ref: Ref, offset: int | None = None) -> Frame | None:
        """The acknowledgement of the message with the id ``ref``; ``None`` where there is none."""
        return None if self._ack is None else self.framed(*self._ack, ref=ref, offset=offset)

    def error(self, failure: Failure, ref: Ref | None) -> Frame | None:
        """The error frame of ``failure``, at most 1 KiB; ``None`` where the protocol has none."""
        if self._error is None:
            return None
        body, tag = self._error
        detail = (
            failure.detail if len(failure.detail) <= MAX_DETAIL else failure.detail[: MAX_DETAIL - 1] + "…"
        )
        members: dict[str, Any] = {"code": failure.code, "detail": detail}
        if ref is not None and self.envelope.ref is not None:
            members[self.envelope.ref] = ref
        members["retryable"] = failure.retryable
        if failure.retry_after is not None:
            # Rounded up, or a client that waits exactly so long would come too early.
            members["retry_after"] = -(-failure.retry_after * 1000 // 1) / 1000
        if failure.error_id is not None:
            members["error_id"] = failure.error_id
        errors = list(failure.errors)
        while errors:
            whole = body[:-1] + b"," + orjson.dumps({**members, "errors": errors})[1:]
            if len(whole) <= MAX_ERROR_FRAME:
                return self.framed(whole, tag)
            errors.pop()
        whole = body[:-1] + b"," + orjson.dumps(members)[1:]
        if len(whole) > MAX_ERROR_FRAME:
            members["detail"] = failure.code.replace("_", " ")
            whole = body[:-1] + b"," + orjson.dumps(members)[1:]
        return self.framed(whole, tag)

    @staticmethod
    def _control(discriminator: str, tag: str | None) -> tuple[bytes, str] | None:
        return None if tag is None else (orjson.dumps({discriminator: tag}), tag)
