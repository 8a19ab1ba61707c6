"""Plays a transcript again, and tells whether the same comes back."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.asyncapi.served import sockets
from protocol.exceptions import ConfigurationError
from protocol.testing.clock import run
from protocol.testing.comparison import first_difference
from protocol.testing.inprocess import InProcess
from protocol.testing.player import Happening, Headers, Stage, Until, play
from protocol.testing.remote import Remote, with_suffix
from protocol.testing.simulated import Simulated
from protocol.testing.simulation import Simulation
from protocol.testing.steps import Connect
from protocol.testing.transcript import Exchange, Transcript


async def replayed(transcript: Transcript, stage: Stage) -> Transcript:
    """What comes back when the steps of a transcript are played on ``stage``."""
    exchanges = await play(transcript.steps, stage, barrier=transcript.barrier, until=_as_much_as(transcript))
    return replace(transcript, exchanges=exchanges)


def replay(
    transcript: Transcript,
    create_app: Callable[[], Any],
    *,
    path: str | None = None,
    headers: Callable[[int], Headers] = lambda client: {},
) -> Transcript:
    """What comes back when a transcript is played in this process, on virtual time.

    What was played on several nodes is played on as many, and each seed decides what it decided then. ``path`` is that
    of clients whose step names none; without it, that of the protocol which the application serves.

    Raises ``ConfigurationError`` where the application does not say which path that is.
    """

    async def played() -> Transcript:
        if transcript.nodes:
            async with Simulation(create_app, nodes=transcript.nodes) as simulation:
                return await replayed(
                    transcript,
                    Simulated(simulation, path or _path(transcript, simulation.process(0).app), headers),
                )
        app = create_app()
        async with app.router.lifespan_context(app):
            return await replayed(transcript, InProcess(app, path or _path(transcript, app), headers))

    return run(played())


async def difference(transcript: Transcript, url: str, headers: Callable[[int], Headers]) -> str | None:
    """The first difference between a transcript and what the server at ``url`` does, or ``None``.

    Rooms are fresh ones where the transcript says how messages name them, and not that their names stay.
    """

    def fresh(room: str, suffix: str) -> str:
        return room if room in transcript.fixed else with_suffix(room, suffix)

    stage = Remote(url, headers, rooms=transcript.room, fresh=fresh)
    try:
        return first_difference(transcript, await replayed(transcript, stage))
    finally:
        await stage.aclose()


def _path(transcript: Transcript, app: Any) -> str:
    """Where ``app`` serves its only protocol; an application that serves none is somebody else's."""
    served = list(sockets(app))
    plain = [socket.path for socket in served if "{" not in socket.path]
    unclear = len({id(socket.protocol) for socket in served}) > 1 or (served and not plain)
    if unclear and any(isinstance(step, Connect) and step.path is None for step in transcript.steps):
        paths = ", ".join(socket.path for socket in served)
        raise ConfigurationError(f"Say at which path the transcript is to be played: there are {paths}.")
    return plain[0] if plain else "/ws"


def _as_much_as(transcript: Transcript) -> Until:
    """Wait until as many frames as then have come, be it some steps earlier, or the connection has ended."""
    early: Counter[int] = Counter()
    ended: set[int] = set()
    last: Happening | None = None

    def expected(now: Happening) -> Exchange:
        known = transcript.exchanges[now.number : now.number + 1]
        return known[0] if known else Exchange(now.step)

    def done(now: Happening) -> bool:
        nonlocal last
        if last is not now:
            if last is not None:
                early.update({client: len(frames) for client, frames in last.received.items()})
                early.subtract({client: len(frames) for client, frames in expected(last).received.items()})
                ended.update(last.closed)
            if isinstance(now.step, Connect):
                ended.discard(now.step.client)
            last = now
        gone = ended | now.closed.keys()
        return all(
            client in gone
            or client in now.paused
            or len(now.received.get(client, ())) + max(0, early[client]) >= len(frames)
            for client, frames in expected(now).received.items()
        ) and all(client in gone for client in expected(now).closed)

    return done
