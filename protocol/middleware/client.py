"""Who a connection comes from: its user, and its address as far as that can be trusted.

What is done with the answer (limits, log lines) is up to the middleware that asks.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.authentication import BaseUser
from starlette.datastructures import Headers

from protocol.exceptions import ConfigurationError
from protocol.types import Scope, User

Address = IPv4Address | IPv6Address

UNKNOWN: Final = "unknown"
"""Stands for the network of a client without a readable address; all of these share it."""

UNIX: Final = "unix"
"""In ``trusted_proxies``: the peers that have no address, as behind a proxy on a Unix socket."""


def user_id(scope: Scope) -> str | None:
    """The id of the user that authentication left in ``scope["user"]``, ours or Starlette's."""
    user = scope.get("user")
    if isinstance(user, User):
        return user.id
    if isinstance(user, BaseUser) and user.is_authenticated:
        return user.identity
    return None


class TrustedProxies:
    """Finds a client's address behind proxies, by the rightmost hop that is not one of them.

    Every proxy appends the address that it was called from to ``X-Forwarded-For``; what stands left of the
    entry that the outermost trusted proxy wrote was sent by the client, and means nothing. Without trusted
    proxies the header is not read. A server that rewrites ``scope["client"]`` from the header itself, as
    uvicorn does with ``--proxy-headers``, needs none here.

    ``trusted``: addresses, networks such as ``"10.0.0.0/8"``, or ``"unix"``.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        if isinstance(trusted, str):
            raise ConfigurationError(f"trusted_proxies is a list of addresses and networks, not {trusted!r}.")
        names = tuple(trusted)
        self._trusts_unix = UNIX in names
        self._networks = tuple(_network(name) for name in names if name != UNIX)

    def client(self, scope: Scope) -> Address | None:
        """The client's address, or ``None`` where nobody who is trusted could tell it."""
        address = _parsed(_peer(scope))
        if not self._trusts(address):
            return address
        for hop in reversed(_forwarded_for(scope)):
            found = _parsed(hop)
            if found is None:  # Such as "unknown": all that is known is the proxy that wrote it.
                return address
            address = found
            if not self._trusts(address):
                break
        return address

    def network(self, scope: Scope) -> str:
        """What limits count by: the IPv4 address, or the /64 that one IPv6 customer can choose from."""
        address = self.client(scope)
        if address is None:
            return UNKNOWN
        if isinstance(address, IPv4Address):
            return str(address)
        return str(IPv6Network((int(address), 64), strict=False))

    def _trusts(self, address: Address | None) -> bool:
        if address is None:
            return self._trusts_unix
        return any(address in network for network in self._networks)


def _network(name: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(name)
    except ValueError as error:
        raise ConfigurationError(
            f"trusted_proxies: expected an address, a network such as '10.0.0.0/8', or 'unix', "
            f"not {name!r}: {error}."
        ) from None


def _peer(scope: Scope) -> str:
    """The host of ``scope["client"]``, which servers leave out or fill with what they have."""
    client = scope.get("client")
    if isinstance(client, (tuple, list)) and client and isinstance(client[0], str):
        return client[0]
    return ""


def _forwarded_for(scope: Scope) -> list[str]:
    return ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")


def _parsed(text: str) -> Address | None:
    """Read ``1.2.3.4``, ``1.2.3.4:80``, ``::1``, ``[::1]`` or ``[::1]:80``."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
