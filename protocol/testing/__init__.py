"""Testing a protocol: a client without sockets, virtual time, and a simulation of several nodes and their faults."""

from protocol.testing.client import Client, Refused
from protocol.testing.clock import Stuck, VirtualLoop, run, settle
from protocol.testing.record import Recorder, record
from protocol.testing.replay import replay
from protocol.testing.simulation import Simulation, simulate

__all__ = [
    "Client",
    "Recorder",
    "Refused",
    "Simulation",
    "Stuck",
    "VirtualLoop",
    "record",
    "replay",
    "run",
    "settle",
    "simulate",
]
