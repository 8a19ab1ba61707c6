"""Checks of connections: that they live, and how they end."""

from protocol import codes
from protocol.fuzzing.arena import Arena
from protocol.fuzzing.checks.base import Check, Finding
from protocol.fuzzing.contract import INTERNAL_CODES, Contract
from protocol.fuzzing.run import Run
from protocol.testing.remote import NOBODY
from protocol.testing.steps import Connect, shortened

_CRASHES = frozenset({codes.ABNORMAL, 1011})


def _server_error(run: Run) -> Finding | None:
    paused = {talk.client for talk in run.talks if talk.paused}
    for at, exchange in enumerate(run.exchanges):
        for client, text in exchange.crashed.items():
            return Finding(at, f"The application raised {text} on the connection of {client}.")
        for client, status in exchange.refused.items():
            if status == NOBODY:
                return Finding(
                    at, f"The server has ended: nothing listened any more when {client} connected."
                )
            if status >= 500 and not any(fault < at for fault in run.faults):
                return Finding(at, f"The handshake of {client} was answered with {status}.")
        for client, (code, _) in exchange.closed.items():
            if code in _CRASHES and client not in paused:
                how = "without a close frame" if code == codes.ABNORMAL else "with 1011"
                return Finding(at, f"The server closed the connection of {client} {how}.")
    for talk in run.talks:
        for frame in talk.received:
            if frame.tag == run.contract.error and frame.body and frame.body.get("code") in INTERNAL_CODES:
                return Finding(frame.at, f"The server answered {talk.client} with {shortened(frame.data)}.")
    return None


def _undeclared_close(run: Run) -> Finding | None:
    for at, exchange in enumerate(run.exchanges):
        for client, (code, reason) in exchange.closed.items():
            if code not in _CRASHES and not run.contract.closes_with(code):
                return Finding(at, f"The server closed the connection of {client} with {code} ({reason}).")
    return None


def _lacks_codes(contract: Contract, arena: Arena) -> str:
    return (
        "the close codes in the document (x-close-codes of the channel)"
        if contract.close_codes is None
        else ""
    )


def _liveness(run: Run) -> Finding | None:
    for at, exchange in enumerate(run.exchanges):
        for client in sorted(exchange.silent):
            detail = f"The server did not answer {client} any more, and did not close the connection."
            if isinstance(exchange.step, Connect) and exchange.step.opening is None:
                detail = (
                    f"The server did not answer {client} from the beginning. If it waits for a first message, say "
                    "which by --opening, or by opening= of fuzz_test."
                )
            return Finding(at, detail)
    return None


server_error = Check(
    "server_error",
    "No input makes the server fail: it never closes with 1011, never goes without a close frame, never answers "
    "with an internal error. A client cannot tell such a failure from a bug of its own, and reconnects into it.",
    _server_error,
)
undeclared_close = Check(
    "undeclared_close",
    "A connection is closed only with a code that the document lists, because from the code alone a client decides "
    "whether to come back.",
    _undeclared_close,
    _lacks_codes,
)
liveness = Check(
    "liveness",
    "An open connection is served: after whatever was sent on it, and whatever others do or do not, the next "
    "message is answered in time.",
    _liveness,
)
