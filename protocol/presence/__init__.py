"""Presence: who is where. One interface, one module for each store."""

from protocol.presence.base import (
    LEASE_SECONDS,
    LISTED,
    ONLINE,
    Departure,
    Member,
    Members,
    Presence,
    Renewal,
)
from protocol.presence.memory import MemoryPresence

__all__ = [
    "LEASE_SECONDS",
    "LISTED",
    "ONLINE",
    "Departure",
    "Member",
    "Members",
    "MemoryPresence",
    "Presence",
    "Renewal",
]
