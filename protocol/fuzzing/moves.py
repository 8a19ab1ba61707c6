"""What clients do in programs: say something, say it all at once, enter a room together, go and come back."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.fuzzing.contract import Contract
from protocol.fuzzing.faults import fault_moves
from protocol.fuzzing.frames import Label, frames
from protocol.fuzzing.overrides import Override
from protocol.fuzzing.rooms import Address
from protocol.fuzzing.sayings import Saying, Sayings, weighted
from protocol.testing.steps import Body, Close, Connect, Drop, Pause, Resume, Send, Step, Wait


@dataclass(frozen=True, slots=True)
class Together:
    """Messages that are sent at once."""

    sayings: tuple[Saying, ...]


Move = Saying | Together | tuple[Saying | Step, ...] | Step

MOVE_NAMES: Final = (
    "say",
    "repeat",
    "sequence",
    "race",
    "broken",
    "enter",
    "connect",
    "leave",
    "pause",
    "wait",
)


class Moves:
    """The strategies for what ``clients`` clients do to a server that keeps ``contract``."""

    def __init__(
        self, contract: Contract, clients: int, sayings: Sayings, overrides: Mapping[Any, Override] | None
    ) -> None:
        self._contract = contract
        self._clients = clients
        self._client = st.integers(0, clients - 1)
        self._sayings = sayings
        self._overrides = overrides
        # What is said in a race refers to nothing: in each order it would be something else.
        self._said = sayings.of(sayings.tags)

    def openings(self, names: Collection[str]) -> list[SearchStrategy[Move]]:
        """With what a program may begin, of the moves ``names``; of all, unless some are named."""
        makers = {"enter": self._enter, "connect": self._connect}
        return [made for name in makers if not names or name in names for made in makers[name]()]

    def any(self, names: Collection[str], nodes: int) -> SearchStrategy[Move]:
        """One of the moves ``names``; of all, unless some are named."""
        makers: dict[str, Callable[[], Iterable[SearchStrategy[Move]]]] = {
            "say": lambda: [self._sayings.referring()],
            "repeat": lambda: [self._repeat()],
            "sequence": self._sequences,
            "race": lambda: [self._race(), self._echo()] if self._clients > 1 else [self._echo()],
            "broken": lambda: [self._broken()],
            "enter": lambda: [*self._enter(), *self._return()],
            "connect": self._connect,
            "leave": lambda: [st.one_of(st.builds(Drop, self._client), st.builds(Close, self._client))],
            "pause": lambda: [st.one_of(st.builds(Resume, self._client), st.builds(Pause, self._client))],
            "wait": lambda: [st.builds(Wait, st.sampled_from((1.0, 60.0)))],
        }
        found: list[tuple[int, SearchStrategy[Move]]] = [
            (3 if name == "say" else 1, made)
            for name in MOVE_NAMES
            if not names or name in names
            for made in makers[name]()
        ]
        faults: dict[str, SearchStrategy[Any]] = fault_moves(self._client, nodes) if nodes else {}
        found += [(1, made) for name, made in faults.items() if not names or name in names]
        if nodes and (not names or "fault" in names):
            found.append((2, self._in_trouble(faults["fault"])))
        return weighted(*found)

    def _repeat(self) -> SearchStrategy[Move]:
        """A client says the same twice, one after the other."""
        return self._sayings.referring().map(lambda saying: (saying, saying))

    def _race(self) -> SearchStrategy[Move]:
        return st.lists(self._said, min_size=2, max_size=3).map(lambda found: Together(tuple(found)))

    def _echo(self) -> SearchStrategy[Move]:
        """One message from several clients, or several times from one, at once."""
        return st.builds(
            lambda saying, others: Together(
                (saying, *(Saying(client, saying.message, saying.numbered) for client in others))
            ),
            self._said,
            st.lists(self._client, min_size=1, max_size=2),
        )

    def _in_trouble(self, faults: SearchStrategy[tuple[Step, ...]]) -> SearchStrategy[Move]:
        """A fault of a node, and a message from a client that is usually there."""
        return st.builds(
            lambda fault, saying: (*fault, replace(saying, client=fault[0].node % self._clients)),
            faults,
            self._sayings.referring(),
        )

    def _sequences(self) -> list[SearchStrategy[Move]]:
        """Numbers as texts from one client, one right after the other: their order can be seen."""
        found = {
            tag: field for tag in self._sayings.tags if (field := self._sayings.text_of(tag)) is not None
        }
        if not found:
            return []

        def sequence(saying: Saying, count: int) -> Together:
            tag = self._contract.tag(saying.message, sent=True)
            field = found[str(tag)]
            return Together(
                tuple(
                    Saying(saying.client, {**saying.message, field: str(number)}, saying.numbered)
                    for number in range(1, count + 1)
                )
            )

        return [st.builds(sequence, self._sayings.of(list(found)), st.integers(2, 3))]

    def _enter(self) -> list[SearchStrategy[Move]]:
        """Several clients enter one room, one after the other."""
        if self._contract.room is None or not self._contract.room.joins:
            return []
        message = self._sayings.bare(sorted(self._contract.room.joins))
        others = st.integers(1, self._clients)
        entering: SearchStrategy[Move] = st.builds(
            lambda message, count: tuple(Saying(client, message, True) for client in range(count)),
            message,
            others,
        )
        return [entering]

    def _return(self) -> list[SearchStrategy[Move]]:
        """A client leaves, something is said, and it comes back to where it was, as far as it knows."""
        rules = self._contract.room
        joins = [] if rules is None else sorted(tag for tag in rules.joins if self._sayings.recalls[tag])
        if not joins:
            return []
        gone = st.one_of(st.builds(Drop, self._client), st.builds(Close, self._client))
        recall = st.integers(1, max(len(self._sayings.recalls[tag]) for tag in joins))
        return [
            st.builds(
                _returning,
                gone,
                st.lists(self._said, max_size=2),
                self._sayings.bare(joins),
                recall,
            )
        ]

    def _connect(self) -> list[SearchStrategy[Move]]:
        """One client, or several one after the other, connect to one of the addresses that are not the usual one."""
        usual, *others = self._contract.addresses
        arrivals = [self._arrival(address) for address in (*others, *([usual] if usual.parameters else []))]
        if not arrivals:
            return []
        arrival = st.one_of(arrivals)
        return [
            st.builds(lambda arrival, client: replace(arrival, client=client), arrival, self._client),
            st.builds(
                lambda arrival, count: tuple(replace(arrival, client=client) for client in range(count)),
                arrival,
                st.integers(1, self._clients),
            ),
        ]

    def _arrival(self, address: Address) -> SearchStrategy[Connect]:
        """A client connects to an address; where that names a room, it is mostly the one in which clients meet."""
        member = "" if self._contract.room is None else self._contract.room.member
        values = {name: st.sampled_from(known) for name, known in address.parameters}
        if member in values:
            values[member] = self._sayings.meeting.filter(_is_plain)
        return st.fixed_dictionaries(values).map(
            lambda found: Connect(0, address.path(found), room=found.get(member))
        )

    def _broken(self) -> SearchStrategy[Move]:
        broken = frames(
            self._contract.grammar, labels=(Label.NEAR_VALID, Label.GARBAGE), overrides=self._overrides
        )
        return st.builds(lambda client, frame: Send(client, frame.data), self._client, broken)


def _is_plain(name: object) -> bool:
    """Whether a name can be a parameter of a path without escapes."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", name) is not None


def _returning(
    gone: Drop | Close, meanwhile: list[Saying], message: Body, recall: int
) -> tuple[Saying | Step, ...]:
    return (gone, *meanwhile, Saying(gone.client, message, True, recall))
