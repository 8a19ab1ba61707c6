"""Testing a protocol: a client without sockets, and time that passes only when nothing else is left to do."""

from protocol.testing.client import Client, Refused
from protocol.testing.clock import Stuck, VirtualLoop, run, settle

__all__ = ["Client", "Refused", "Stuck", "VirtualLoop", "run", "settle"]
