"""Each connection starts a task that ticks, and nobody cancels it when the connection has gone."""

import asyncio

from fastapi import FastAPI

from protocol import Connection, Message, MessageProtocol

CHECK = "no_growth"
SHORTEST = [{"do": "connect", "client": 0}]


class Count(Message, type="count"): ...


class Ticks(Message, type="ticks"):
    count: int


def create_app(bug: bool) -> FastAPI:
    clock = MessageProtocol("Clock")

    @clock.on_connect
    async def start(connection: Connection) -> None:
        connection.state.ticks = 0
        connection.state.ticker = asyncio.create_task(tick(connection))

    @clock.on_disconnect
    async def stop(connection: Connection) -> None:
        if not bug:
            connection.state.ticker.cancel()

    @clock.on(Count, emits=Ticks)
    async def count(message: Count, connection: Connection) -> Ticks:
        return Ticks(count=connection.state.ticks)

    async def tick(connection: Connection) -> None:
        while True:
            await asyncio.sleep(3600)
            connection.state.ticks += 1

    app = FastAPI()
    app.include_router(clock.router)
    return app
