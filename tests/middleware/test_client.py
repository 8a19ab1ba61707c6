import pytest
from starlette.authentication import SimpleUser, UnauthenticatedUser

from protocol.middleware.client import TrustedProxies, user_id
from protocol.types import User
from tests.misdeclared import refusal


def scope(client: object, *forwarded_for: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded_for]
    return {"client": client, "headers": headers}


@pytest.mark.parametrize(
    "client, forwarded_for, expected",
    [
        (("203.0.113.9", 1), [], "203.0.113.9"),
        # Nobody who is not a proxy is believed.
        (("203.0.113.9", 1), ["198.51.100.1"], "203.0.113.9"),
        # The rightmost hop that is no proxy; what stands left of it is made up.
        (("10.0.0.1", 1), ["198.51.100.1"], "198.51.100.1"),
        (("10.0.0.1", 1), ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        (("10.0.0.1", 1), ["1.1.1.1, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        (("10.0.0.1", 1), ["1.1.1.1", "198.51.100.1", "10.2.3.4"], "198.51.100.1"),
        (("192.168.7.7", 1), ["10.9.9.9"], "10.9.9.9"),
        # All are proxies: the first of them.
        (("10.0.0.1", 1), ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # As far as it can be read.
        (("10.0.0.1", 1), [], "10.0.0.1"),
        (("10.0.0.1", 1), [""], "10.0.0.1"),
        (("10.0.0.1", 1), ["198.51.100.1, unknown"], "10.0.0.1"),
        (("10.0.0.1", 1), ["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
        (("10.0.0.1", 1), ["198.51.100.1,"], "10.0.0.1"),
        # Every way in which proxies write an address.
        (("10.0.0.1", 1), ["198.51.100.1:4711"], "198.51.100.1"),
        (("10.0.0.1", 1), ["2001:db8::1"], "2001:db8::1"),
        (("10.0.0.1", 1), ["[2001:db8::1]"], "2001:db8::1"),
        (("10.0.0.1", 1), ["[2001:db8::1]:4711"], "2001:db8::1"),
        (("10.0.0.1", 1), ["::ffff:198.51.100.1"], "198.51.100.1"),
        (("::ffff:10.0.0.1", 1), ["198.51.100.1"], "198.51.100.1"),
        # A zone cannot be used to make up addresses.
        (("fe80::1%eth0", 1), [], "fe80::1"),
        (("fe80::1%made-up", 1), [], "fe80::1"),
        # What servers put into `client`.
        (None, [], None),
        (None, ["198.51.100.1"], None),
        ((), [], None),
        (("/run/socket", 0), [], None),
        (("", 0), [], None),
        ((None, 0), [], None),
        ("10.0.0.1", [], None),
        (["203.0.113.9", 1], [], "203.0.113.9"),
    ],
)
def test_the_client_is_the_rightmost_hop_that_is_no_trusted_proxy(
    client: object, forwarded_for: list[str], expected: str | None
) -> None:
    proxies = TrustedProxies(["10.0.0.0/8", "192.168.7.7"])
    found = proxies.client(scope(client, *forwarded_for))
    assert (None if found is None else str(found)) == expected


def test_a_proxy_on_a_unix_socket_has_no_address_but_can_be_trusted() -> None:
    proxies = TrustedProxies(["unix"])
    assert str(proxies.client(scope(None, "1.1.1.1, 198.51.100.1"))) == "198.51.100.1"
    assert proxies.client(scope(None)) is None


def test_limits_count_an_ipv6_customer_once() -> None:
    proxies = TrustedProxies()
    assert proxies.network(scope(("2001:db8:0:1:aaaa::1", 1))) == "2001:db8:0:1::/64"
    assert proxies.network(scope(("2001:db8:0:1:bbbb::1", 1))) == "2001:db8:0:1::/64"
    assert proxies.network(scope(("2001:db8:0:2:bbbb::1", 1))) == "2001:db8:0:2::/64"
    assert proxies.network(scope(("203.0.113.9", 1))) == "203.0.113.9"
    assert proxies.network(scope(None)) == "unknown"


def test_what_is_no_network_cannot_be_trusted() -> None:
    assert refusal(lambda: TrustedProxies(["localhost"])) == (
        "trusted_proxies: expected an address, a network such as '10.0.0.0/8', or 'unix', not 'localhost': "
        "'localhost' does not appear to be an IPv4 or IPv6 network."
    )


def test_one_network_is_no_list() -> None:
    assert refusal(lambda: TrustedProxies("10.0.0.0/8")) == (
        "trusted_proxies is a list of addresses and networks, not '10.0.0.0/8'."
    )


def test_a_user_is_ours_or_starlettes() -> None:
    class Named(SimpleUser):
        @property
        def identity(self) -> str:
            return self.username

    assert user_id({"user": User("alice")}) == "alice"
    assert user_id({"user": Named("bob")}) == "bob"
    assert user_id({"user": UnauthenticatedUser()}) is None
    assert user_id({}) is None
