"""A simulated node from its start to its end, and the clients that are connected to it."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import copy_context
from random import Random
from typing import Any, Final, Self

from pydantic import BaseModel

from protocol import codes
from protocol.node import Node, Plan, build
from protocol.testing.client import Client
from protocol.testing.clock import CLOCK, Clock, VirtualLoop
from protocol.testing.network import Cluster, Link, RemoteBroker, RemotePresence
from protocol.testing.scheduler import PROCESS
from protocol.types import ASGIApp, Ref, User

KEEPALIVE: Final = 35.0
"""Seconds after which a server notices that a peer has vanished: those to its next ping, and for the answer."""

HANDSHAKE: Final = 10.0
"""Seconds after which a client gives up a handshake that is not answered."""

Body = dict[str, Any]
Event = MutableMapping[str, Any]


class Process:
    """An application, and everything that runs for it: one life of a node.

    Attributes:
        name: unique among all lives of all nodes.
        clock: what it takes for the time; no two processes agree.
        link: the way to the broker and the presence store.
        alive: whether it was started, and has neither ended nor been killed.
        suspended: whether it stands still.
    """

    def __init__(
        self,
        name: str,
        app: ASGIApp,
        cluster: Cluster,
        *,
        loop: VirtualLoop,
        clock: Clock,
        random: Random,
        latency: float,
    ) -> None:
        self.name = name
        self.app = app
        self.state: Body = {}
        self.clients: list[SimulatedClient] = []
        self.alive = False
        self.suspended = False
        self.clock = clock
        self._cluster = cluster
        self._loop = loop
        self._context = copy_context()
        self._context.run(self.enter)
        self.link = Link(loop, random, latency, self._context)
        self._brokers: list[RemoteBroker] = []
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._answers: asyncio.Queue[Event] = asyncio.Queue()
        self._lifespan: asyncio.Task[None] | None = None

    @property
    def serves(self) -> bool:
        """Whether it answers anybody now."""
        return self.alive and not self.suspended

    def enter(self) -> None:
        """From now on the current context is this process's, and so are the nodes made in it."""
        PROCESS.set(self)
        CLOCK.set(self.clock)
        build.set(self._node)

    async def start(self) -> None:
        """Start the application, as its server does."""
        self._lifespan = self._loop.create_task(self._live(), context=self._context)
        await self._lifecycle("startup")
        self.alive = True

    async def close(self) -> None:
        """End as a server does, connections first; what the application raises is raised here."""
        for client in self.clients:
            await client.close()
        await self._lifecycle("shutdown")
        self.alive = False

    def kill(self) -> None:
        """The others see that it is gone: its clients, and the broker, which forgets its subscriptions."""
        self.alive = False
        for broker in self._brokers:
            broker.drop()
        for client in self.clients:
            client.lose()

    def cancel(self) -> None:
        """Cancel what still runs, after the simulation."""
        for task in (self._lifespan, *(client.task for client in self.clients)):
            if task is not None:
                task.cancel()

    # Parts.

    def _node(self, plan: Plan, *, app: object = None) -> Node:
        bus, presence = self._cluster.of(plan.title)
        broker = RemoteBroker(bus, self.link)
        self._brokers.append(broker)
        return Node(
            plan,
            app=app,
            broker=broker,
            presence=RemotePresence(presence, self.link),
            name=self.name,
        )

    async def _live(self) -> None:
        asgi = {"version": "3.0", "spec_version": "2.0"}
        scope = {"type": "lifespan", "asgi": asgi, "state": self.state}
        await self.app(scope, self._events.get, self._answers.put)

    async def _lifecycle(self, event: str) -> None:
        self._events.put_nowait({"type": f"lifespan.{event}"})
        answer = await self._answers.get()
        if answer["type"] != f"lifespan.{event}.complete":
            raise RuntimeError(f"The application failed at its {event}: {answer.get('message', '')}")


class SimulatedClient(Client):
    """A client of one process. What is under way is waited for, however long that takes.

    ``advance`` lets time pass for what is under way, and is false where nothing is; ``record`` takes a line for
    the trace.
    """

    def __init__(
        self,
        process: Process,
        name: str,
        *,
        user: User | str | None,
        advance: Callable[[], Awaitable[bool]],
        record: Callable[[str], None],
        **options: Any,
    ) -> None:
        super().__init__(process.app, user=user, patience=0, **options)
        self.name = f"{name}@{process.name}"
        self.scope["state"] = dict(process.state)
        self._process = process
        self._advance = advance
        self._record = record
        self._deaf = False
        process.clients.append(self)

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that serves it."""
        return self._task

    async def connect(self) -> Self:
        """Shake hands. Raises ``Refused``, or ``ConnectionError`` where nothing answers."""
        self._patience = HANDSHAKE
        try:
            return await super().connect()
        except AssertionError:
            self.cut()
            raise ConnectionAbortedError(f"{self.name}: the handshake was not answered.") from None
        finally:
            self._patience = 0

    async def close(self, code: int = codes.NORMAL, reason: str = "") -> None:
        if self._process.alive:
            await super().close(code, reason)
        self.lose(code, reason)

    async def send(
        self, message: BaseModel | Body | str | bytes, *, id: Ref | None = None, key: str | None = None
    ) -> None:
        self._record(f"{self.name} > {message!r} id={id!r} key={key!r}")
        await super().send(message, id=id, key=key)

    # Faults.

    def cut(self) -> None:
        """Cut the link: what was under way is lost, and both sides know at once."""
        self._forget()
        self.lose()
        self.drop()

    def vanish(self) -> None:
        """Be gone without a word; what the server sends goes nowhere until it notices, after ``KEEPALIVE``."""
        self._forget()
        self.lose()
        self.resume()
        asyncio.get_running_loop().call_later(KEEPALIVE, self.drop)

    def lose(self, code: int = codes.ABNORMAL, reason: str = "") -> None:
        """See that the connection is gone, if it is not already."""
        self._deaf = True
        if self.closed is None:
            self._record(f"{self.name} closed {code}")
            self.closed = (code, reason)
            self._changed.set()

    # Parts.

    def _forget(self) -> None:
        while not self._events.empty():
            self._events.get_nowait()

    async def _run(self) -> None:
        self._process.enter()
        # What runs from here on belongs to the process, and runs only if that does.
        await asyncio.sleep(0)
        await super()._run()

    async def _take(self, event: Event) -> None:
        if self._deaf:
            return
        if event["type"] == "websocket.close":
            # It is no more than a few bytes, which a server hands to the kernel and does not wait for.
            self._reading.set()
        await super()._take(event)
        if event["type"] != "websocket.send":
            self._record(f"{self.name} < {event}")

    def _arrived(self, frame: str | bytes) -> None:
        if not self._deaf:
            super()._arrived(frame)
            self._record(f"{self.name} < {frame!r}")

    def _reset(self) -> None:
        self.lose()
        self.drop()

    async def _wait(self, within: float = 0) -> bool:
        if seconds := within or self._patience:
            return await super()._wait(seconds)
        self._changed.clear()
        while await self._advance():
            if self._changed.is_set():
                return True
        return self._changed.is_set()

    async def _settle(self) -> None:
        while await self._advance():
            pass
