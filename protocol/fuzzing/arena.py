"""Where the fuzzer plays its programs: each time against something fresh.

In this process that is a new application on a new loop of virtual time. A server behind a URL lives on, so there
every program gets rooms of its own.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from protocol.exceptions import ConfigurationError
from protocol.fuzzing.contract import Contract
from protocol.fuzzing.jsonschema import validator
from protocol.fuzzing.moves import MOVE_NAMES
from protocol.fuzzing.program import Program
from protocol.fuzzing.rooms import naming
from protocol.fuzzing.run import Run
from protocol.fuzzing.tables import Tables
from protocol.testing.clock import run as run_virtually
from protocol.testing.clock import settle
from protocol.testing.hooks import answer_of
from protocol.testing.inprocess import PATIENCE, InProcess
from protocol.testing.player import Happening, Headers, Until, play
from protocol.testing.remote import Remote, named_in, with_suffix
from protocol.testing.steps import Connect, Data, Opening, Step, opened, parsed, sends_of, shortened
from protocol.testing.transcript import Exchange

Login = Callable[[int], str | Headers]
"""Who a client is: by its number, a bearer token or the headers of the handshake.

In this process the clients of every program are numbered from 0. A server that lives on sees other numbers with each
program, so that a login which makes users up can give it new ones.
"""

_SUFFIX: Final = "a1b2c3d4"
"""A text of the kind that makes names of rooms fresh."""

_CLIENTS = 20
"""The most clients of a program."""

ROUNDS = 4
"""How often a program is played to see whether what it leaves grows."""


class Arena(Protocol):
    """Plays programs for a contract.

    Attributes:
        moves: what clients do in its programs, of ``MOVE_NAMES``.
        nodes: how many are simulated; 0 where the server is what it is.
    """

    contract: Contract
    moves: tuple[str, ...]
    nodes: int

    def aftermath(self, program: Program) -> tuple[Step, ...]:
        """What has to happen when everybody has left, before newcomers see what the first ones saw."""

    def play(self, steps: tuple[Step, ...], newcomers: int) -> Run:
        """Play ``steps`` against something fresh. From ``newcomers`` on they look at what is left."""

    def close(self) -> None:
        """Let go of what was needed for playing."""


def headers_of(login: Login | None) -> Callable[[int], Headers]:
    """The headers of each client's handshake."""

    def headers(client: int) -> Headers:
        if login is None:
            return {}
        found: str | Headers = answer_of(
            login, client, name="login", kinds=(str, Mapping), wanted="a token, or the headers of a handshake"
        )
        return {"authorization": f"Bearer {found}"} if isinstance(found, str) else found

    return headers


def introduced(
    contract: Contract, steps: tuple[Step, ...], opening: Opening | None, first: int = 0
) -> tuple[Step, ...]:
    """``steps`` in which everybody who connects says the opening, if there is one; the clients count from ``first``.

    Raises ``ConfigurationError`` for one that the server does not say to take.
    """
    if opening is None:
        return steps
    found = opened(steps, opening, first)
    for step in found:
        if isinstance(step, Connect) and step.opening is not None:
            objection = contract.objection(step.opening)
            if objection is not None:
                raise ConfigurationError(
                    f"The opening is no message that the server takes ({objection}): {shortened(step.opening)}"
                )
    return found


def arrival(exchanges: tuple[Exchange, ...], steps: tuple[Step, ...], newcomers: int) -> int:
    """The number of the exchange of the first step from ``newcomers`` on.

    A step that could not be done has left no exchange; so what came later is told by what it is.
    """
    later = set(map(id, steps[newcomers:])).difference(map(id, steps[:newcomers]))
    return next((at for at, exchange in enumerate(exchanges) if id(exchange.step) in later), len(exchanges))


def answers(contract: Contract) -> Until:
    """Wait for the answers that are due to the messages of a step."""

    def refused(frames: Sequence[Data]) -> bool:
        # Errors have been sent before a barrier is answered.
        return (
            contract.barrier is not None
            or contract.error is None
            or any(contract.tag(parsed(data), sent=False) == contract.error for data in frames)
        )

    def done(now: Happening) -> bool:
        for send in sends_of(now.step):
            client = send.client
            if (
                client not in now.speakers
                or client in now.closed
                or client in now.silent
                or client in now.paused
            ):
                continue
            if contract.objection(send.data) is not None:
                if not refused(now.received.get(client, ())):
                    return False
                continue
            id = contract.asked(parsed(send.data))
            if id is None:
                continue
            tag = contract.tag(parsed(send.data), sent=True)
            if contract.is_answered(tag) and not any(
                contract.answered(body) == id and contract.is_final(tag, contract.tag(body, sent=False))
                for body in map(parsed, now.received.get(client, ()))
            ):
                return False
        return True

    return done


Leftovers = Mapping[str, int]
"""How much there is of what an application may forget to let go, by its name."""


class LocalArena:
    """Applications that ``create_app`` makes.

    ``measured``: it is looked at what is left of a program when everybody is gone.
    """

    moves: tuple[str, ...] = MOVE_NAMES
    nodes = 0

    def __init__(
        self,
        create_app: Callable[[], Any],
        contract: Contract,
        *,
        login: Login | None = None,
        opening: Opening | None = None,
        measured: bool = True,
    ) -> None:
        self.contract = contract
        self._create_app = create_app
        self._headers = headers_of(login)
        self._opening = opening
        self._measured = measured
        # What an application holds before anybody was there; each fresh one is the same.
        self._pristine: Leftovers | None = None

    def aftermath(self, program: Program) -> tuple[Step, ...]:
        return ()

    def play(self, steps: tuple[Step, ...], newcomers: int) -> Run:
        return self._run(steps, newcomers, measured=self._measured)

    def close(self) -> None:
        """Nothing outlives a program here."""

    def _run(self, steps: tuple[Step, ...], newcomers: int, *, measured: bool) -> Run:
        steps = introduced(self.contract, steps, self._opening)
        exchanges, growth = run_virtually(self._played(steps, measured=measured))
        return Run(
            self.contract,
            exchanges,
            newcomers=arrival(exchanges, steps, newcomers),
            again=lambda other: self._run(other, len(other), measured=False),
            growth=growth,
        )

    async def _played(
        self, steps: tuple[Step, ...], *, measured: bool
    ) -> tuple[tuple[Exchange, ...], dict[str, tuple[int, ...]]]:
        app = self._create_app()
        async with app.router.lifespan_context(app):
            if not measured:
                return await self._round(app, steps), {}
            tables = Tables(app)
            if self._pristine is None:
                self._pristine = _leftovers(tables)
            found = [self._pristine]
            exchanges = await self._round(app, steps)
            while (risen := await _note(tables, found)) and len(found) <= ROUNDS:
                await self._round(app, steps)
        return exchanges, risen

    async def _round(self, app: Any, steps: tuple[Step, ...]) -> tuple[Exchange, ...]:
        stage = InProcess(app, self.contract.path, self._headers)
        return await play(steps, stage, barrier=self.contract.barrier, until=answers(self.contract))


def _leftovers(tables: Tables) -> Leftovers:
    return {"The number of tasks": len(asyncio.all_tasks()), **tables.sizes()}


async def _note(tables: Tables, rounds: list[Leftovers]) -> dict[str, tuple[int, ...]]:
    """Write down what is left after another round, and return what has risen."""
    left = _leftovers(tables)
    if _risen([*rounds, left]):
        # What only takes its time is not left behind, and what runs now and then is no leftover.
        await asyncio.sleep(PATIENCE)
        await settle()
        left = _leftovers(tables)
    rounds.append(left)
    return _risen(rounds)


def _risen(rounds: list[Leftovers]) -> dict[str, tuple[int, ...]]:
    """What there is more of after each round than before it, and how much after each."""
    found = {}
    for name in rounds[-1]:
        sizes = [round.get(name, 0) for round in rounds]
        if all(before < after for before, after in pairwise(sizes)):
            found[name] = tuple(sizes[1:])
    return found


def fixed_rooms(contract: Contract, steps: Iterable[Step]) -> frozenset[str]:
    """The rooms in ``steps`` whose names have to stay: no room is called so with something behind it."""
    if contract.room is None:
        return frozenset()
    fresh, named = _fresh_names(contract), named_in(contract.room.member)
    rooms = {step.room for step in steps if isinstance(step, Connect) and step.room is not None}
    for step in steps:
        for send in sends_of(step):
            if parsed(send.data) is not None:
                rooms.update(json.loads(found[2]) for found in named.finditer(str(send.data)))
    return frozenset(room for room in rooms if fresh(room, _SUFFIX) != with_suffix(room, _SUFFIX))


def _fresh_names(contract: Contract) -> Callable[[str, str], str]:
    """How a room is called that nobody has used; what is not the name of one stays as it is."""
    rules = contract.room
    if rules is None:
        return lambda room, suffix: room
    _, schema = naming(rules, contract.grammar.schemas)
    is_name = validator(schema, schema).is_valid

    def fresh(room: str, suffix: str) -> str:
        found = rules.fresh(room, suffix)
        return found if is_name(room) and is_name(found) else room

    return fresh


class RemoteArena:
    """The server at ``url``. Programs are played one after the other, at most ``rate`` a second.

    ``before``: the number of the program before its first one. Clients are counted from there, so that arenas far
    enough apart play against one server at once.
    """

    nodes = 0

    def __init__(
        self,
        url: str,
        contract: Contract,
        *,
        login: Login | None = None,
        opening: Opening | None = None,
        rate: float | None = None,
        before: int = 0,
    ) -> None:
        self.contract = contract
        self._url = url
        self._headers = headers_of(login)
        self._opening = opening
        self._interval = 0.0 if rate is None else 1 / rate
        self._next = 0.0
        self._programs = before
        self._reached = False
        self._fresh = _fresh_names(contract)
        # Time is real there, and the paths of the document may not be what they are from outside.
        known = any(address.values(urlsplit(url).path) is not None for address in contract.addresses)
        missing = {"wait"} if known else {"wait", "connect"}
        self.moves: tuple[str, ...] = tuple(name for name in MOVE_NAMES if name not in missing)
        self._runner = asyncio.Runner()

    def aftermath(self, program: Program) -> tuple[Step, ...]:
        return ()

    def play(self, steps: tuple[Step, ...], newcomers: int) -> Run:
        self._programs += 1
        first = self._programs * _CLIENTS
        steps = introduced(self.contract, steps, self._opening, first)
        exchanges = self._runner.run(self._play(steps, first))
        return Run(
            self.contract,
            exchanges,
            newcomers=arrival(exchanges, steps, newcomers),
            again=lambda other: self.play(other, len(other)),
            prompt=False,
        )

    def close(self) -> None:
        """Let go of the loop."""
        self._runner.close()

    async def _play(self, steps: tuple[Step, ...], first: int) -> tuple[Exchange, ...]:
        loop = asyncio.get_running_loop()
        if (early := self._next - loop.time()) > 0:
            await asyncio.sleep(early)
        self._next = loop.time() + self._interval
        contract = self.contract
        rooms = None if contract.room is None else contract.room.member
        stage = Remote(
            self._url,
            lambda client: self._headers(first + client),
            rooms=rooms,
            fresh=self._fresh,
            reached=self._reached,
        )
        try:
            return await play(steps, stage, barrier=contract.barrier, until=answers(contract))
        finally:
            self._reached = stage.reached
            await stage.aclose()
