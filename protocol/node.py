"""The runtime of a protocol in one application: hub, broker and presence.

A node is made on first use, for the application that serves the protocol and the loop that it runs in. It is
closed with the application's lifespan; where that does not reach it, with the loop.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pydantic import BaseModel

from protocol import brokers, codes, hub
from protocol.brokers import Broker
from protocol.connection import Connection
from protocol.exceptions import LocalProtocolError, Unavailable
from protocol.fanout import Fanout
from protocol.hub import Hub
from protocol.limits import Rate, Tolerance
from protocol.outbox import Budget, Outbox
from protocol.pipeline import Limits, Pipeline
from protocol.presence import LEASE_SECONDS, MemoryPresence, Presence
from protocol.publisher import Publisher
from protocol.rooms import Rooms, RoomTable
from protocol.types import Scope, User
from protocol.users import Users

logger = logging.getLogger("protocol")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a protocol's declaration says of its connections."""

    broker: str = "memory://"
    outbox: Outbox = field(default_factory=Outbox)
    tolerance: Tolerance = field(default_factory=Tolerance)
    rate_limit: Rate | None = None
    max_frame: int = 65536
    max_rooms: int = 32
    max_pending: int = 16
    subprotocols: tuple[str, ...] = ()


class CompiledHandler(Protocol):
    """A handler, ready to be called."""

    @property
    def concurrent(self) -> bool:
        """It runs beside the messages behind it."""

    @property
    def call(self) -> Callable[[BaseModel, Connection, "Node"], Awaitable[BaseModel | None]]:
        """Handles a message; what is returned is the reply."""


class Hooks(hub.Hooks, Protocol):
    """The application's functions, compiled, for one node."""

    async def connected(self, connection: Connection) -> None: ...

    async def disconnected(self, connection: Connection) -> None: ...

    async def failed(self, connection: Connection, error: Exception) -> BaseModel | None:
        """What an exception handler says instead of the error frame; ``None`` where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A protocol, compiled: everything that its nodes share. ``cancel`` is the type of that message."""

    title: str
    pipeline: Pipeline
    rooms: RoomTable
    handlers: Mapping[type[BaseModel], CompiledHandler]
    hooks: Callable[["Node"], Hooks]
    settings: Settings
    cancel: type[BaseModel] | None


class Node:
    """One application's runtime. Its parts can be given, as the simulation does.

    Attributes:
        slow_wrappers: what of the application wraps ``send`` so that frames take the slow way, and has been logged.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        app: object = None,
        broker: Broker | None = None,
        presence: Presence | None = None,
        name: str | None = None,
    ) -> None:
        self.plan = plan
        self.name = secrets.token_urlsafe(6) if name is None else name
        self.loop = asyncio.get_running_loop()
        self.broker = (
            brokers.connect(plan.settings.broker, monotonic=self.loop.time) if broker is None else broker
        )
        self.presence: Presence = MemoryPresence(monotonic=self.loop.time) if presence is None else presence
        self.app: object = app
        self.hooks = plan.hooks(self)
        fanout = Fanout(plan.pipeline, plan.settings.outbox.enough)
        self.publisher = Publisher(
            plan.pipeline, plan.rooms, fanout, broker=self.broker, presence=self.presence
        )
        self.hub = Hub(
            plan.rooms,
            self.hooks,
            fanout,
            self.publisher,
            broker=self.broker,
            presence=self.presence,
            begin=self._begin,
            max_rooms=plan.settings.max_rooms,
        )
        self.limits = Limits(plan.pipeline)
        self.rooms = Rooms(self.publisher)
        self.users = Users(self.publisher)
        self.slow_wrappers: set[str] = set()
        self.closed = False
        self._budget = Budget(plan.settings.outbox.budget)
        self._ids = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._finished = asyncio.Event()
        self._renewal: asyncio.TimerHandle | None = None
        self._starting: asyncio.Lock = asyncio.Lock()
        self._started = False
        self._lifetime = self._live()

    async def start(self) -> None:
        """Connect to the broker; called again, it does nothing."""
        async with self._starting:
            if not self._started:
                await self.broker.start(self.hub.fanout.deliver)
                self._started = True
                await anext(self._lifetime)

    async def close(self) -> None:
        """Close every connection with 3001, and let go of the broker. Called again, it does nothing."""
        if not self.closed:
            await self._lifetime.aclose()

    async def _live(self) -> AsyncGenerator[None, None]:
        # A generator, because a loop closes those before it ends, whoever has forgotten the lifespan.
        self._renew_later()
        try:
            yield
        finally:
            self.closed = True
            if self._renewal is not None:
                self._renewal.cancel()
            for connection in list(self.hub.fanout.connections.values()):
                connection.stop(codes.SHUTDOWN, codes.REASONS[codes.SHUTDOWN])
            # Each connection ends with a task of ours.
            while self._tasks or self.hub.fanout.connections:
                self._finished.clear()
                await self._finished.wait()
            await self.broker.close()

    def open(self, scope: Scope, user: User | None) -> Connection:
        """A connection that has not been accepted yet, for the socket of ``scope``."""
        self._ids += 1
        return Connection(
            scope,
            id=f"{self.name}-{self._ids}",
            user=user,
            pipeline=self.plan.pipeline,
            hub=self.hub,
            outbox=self.plan.settings.outbox,
            budget=self._budget,
        )

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` to its end, even if the caller is cancelled meanwhile."""
        await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._finished.set()

    def _renew_later(self) -> None:
        self._renewal = self.loop.call_later(LEASE_SECONDS / 3, self._renew)

    def _renew(self) -> None:
        self._begin(self._renewed())
        self._renew_later()

    async def _renewed(self) -> None:
        connections = self.hub.fanout.connections
        try:
            renewal = await self.presence.renew(list(connections))
            for departure in renewal.departures:
                self.hub.announce_left(User(departure.user), departure.room)
            for id in renewal.lost:
                if id in connections:
                    await self.hub.rejoin(connections[id])
            await self.hub.settle()
        except Unavailable:
            logger.warning("The presence store does not answer: no lease of this node is renewed")
        except Exception:
            logger.exception("The presence of this node's connections could not be renewed")


NODE: Final = "protocol.node"
"""Key in the scope of the node that serves it, where one is given, as tests and the simulation do."""

current: ContextVar[Node | None] = ContextVar("protocol.node", default=None)
"""The node of the connection that this context works for."""

build: ContextVar[Callable[..., Node]] = ContextVar("protocol.node.build", default=Node)
"""What makes the nodes of this context: called with a plan and ``app``. The simulation gives them their parts."""


class Nodes:
    """The nodes of one protocol: one for each application that serves it, and each loop that it runs in."""

    def __init__(self, plan: Callable[[], Plan]) -> None:
        self._plan = plan
        self._nodes: list[Node] = []

    async def of(self, scope: Scope) -> Node:
        """The node that serves ``scope``; made, and started, if this is its first use."""
        node: Node | None = scope.get(NODE)
        if node is None:
            app, loop = scope.get("app"), asyncio.get_running_loop()
            node = next((one for one in self._alive() if one.app is app and one.loop is loop), None)
            if node is None:
                node = build.get()(self._plan(), app=app)
                self._nodes = [*self._alive(), node]
        await node.start()
        return node

    async def close(self, app: object) -> None:
        """Close the node of ``app`` in this loop; called again, it does nothing."""
        loop = asyncio.get_running_loop()
        for node in self._alive():
            if node.app is app and node.loop is loop:
                await node.close()
        self._nodes = self._alive()

    def current(self) -> Node:
        """The node of this context, or else the only one that runs.

        Raises ``LocalProtocolError``, and says why, where there is none or more than one.
        """
        node = current.get()
        if node is not None and node.plan is self._plan() and not node.closed:
            return node
        running = self._alive()
        with suppress(RuntimeError):  # in a thread every loop is another's
            loop = asyncio.get_running_loop()
            running = [one for one in running if one.loop is loop]
        if len(running) == 1:
            return running[0]
        title = self._plan().title
        if not running:
            raise LocalProtocolError(
                f"No node of the protocol {title!r} runs yet: it starts with the first connection, or with the "
                f"application's lifespan. Is its router included in the application?"
            )
        raise LocalProtocolError(
            f"{len(running)} applications serve the protocol {title!r} in this process: outside of a connection, "
            f"say which one by at(app).rooms or at(app).users of the protocol."
        )

    def at(self, app: object) -> Node:
        """The node of ``app``. Raises ``LocalProtocolError`` where it does not run."""
        node = next((one for one in self._alive() if one.app is app), None)
        if node is None:
            raise LocalProtocolError(
                f"The application does not serve the protocol {self._plan().title!r} now."
            )
        return node

    def _alive(self) -> list[Node]:
        return [node for node in self._nodes if not node.closed and not node.loop.is_closed()]
