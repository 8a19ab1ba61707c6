import json
import sys
from contextlib import suppress

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.exceptions import ConfigurationError
from protocol.middleware.tokens import InvalidToken, Source, TokenReader, find_token
from protocol.types import User
from tests.middleware.tokens import HEADER, KEY, NOW, claims, segment, signed, token
from tests.misdeclared import refusal

GOOD = token()
HEAD, BODY, SIGNATURE = GOOD.split(".")

FORGED = {
    "unsigned": f"{segment({'alg': 'none'})}.{BODY}.",
    "unsigned, with a signature": f"{segment({'alg': 'none'})}.{BODY}.{SIGNATURE}",
    "unsigned, in other letters": f"{segment({'alg': 'nOnE'})}.{BODY}.",
    "no algorithm": signed(claims(), {"typ": "JWT"}),
    "an algorithm that is no string": signed(claims(), {"alg": ["HS256"]}),
    "another algorithm of the family": signed(claims(), {"alg": "HS384"}, digest="sha384"),
    "an algorithm of another family": signed(claims(), {"alg": "RS256"}),
    "another key": signed(claims(), key="another horse battery staple, 32+"),
    "an empty key": signed(claims(), key=""),
    "a key of its own": signed(claims(), HEADER | {"jwk": {"kty": "oct", "k": segment("mine")}}, key="mine"),
    "a key from elsewhere": signed(claims(), HEADER | {"jku": "https://evil.example/keys"}, key="mine"),
    "a key id that is a path": signed(claims(), HEADER | {"kid": "../../dev/null"}, key=""),
    "a key id that is no string": signed(claims(), HEADER | {"kid": 1}),
    "claims changed after signing": f"{HEAD}.{segment(claims(sub='admin'))}.{SIGNATURE}",
    "header changed after signing": f"{segment(HEADER | {'kid': 'x'})}.{BODY}.{SIGNATURE}",
    "half a signature": f"{HEAD}.{BODY}.{SIGNATURE[:20]}",
    "no signature": f"{HEAD}.{BODY}.",
    "two parts": f"{HEAD}.{BODY}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts, as if encrypted": f"{GOOD}.{SIGNATURE}.{SIGNATURE}",
    "padding": f"{GOOD}=",
    "spare bits in the signature": GOOD[:-1] + chr(ord(GOOD[-1]) + 1),
    "a length that base64 does not have": f"{HEAD}.{BODY}.{SIGNATURE[:41]}",
    "a space before": f" {GOOD}",
    "a newline after": f"{GOOD}\n",
    "a letter of another script": GOOD.replace("e", "е"),
    "no exp": token(exp=None),
    "exp as a string": token(exp=str(NOW + 60)),
    "exp true": token(exp=True),
    "exp 10^18": token(exp=10**18),
    "exp 10^400": signed(json.dumps(claims()).replace(str(NOW + 60), "1e400")),
    "exp Infinity": token(exp=float("inf")),
    "exp NaN": token(exp=float("nan")),
    "exp negative": token(exp=-1),
    "exp null": signed(claims() | {"exp": None}),
    "exp a list": token(exp=[NOW + 60]),
    "exp of 5,000 digits": signed(json.dumps(claims()).replace(str(NOW + 60), "9" * 5000)),
    "expired": token(exp=NOW - 1),
    "expired now": token(exp=NOW),
    "not valid yet": token(nbf=NOW + 1),
    "nbf as a string": token(nbf=str(NOW)),
    "issued in the future": token(iat=NOW + 1),
    "iat null": signed(claims() | {"iat": None}),
    "no sub": token(sub=None),
    "sub empty": token(sub=""),
    "sub blank": token(sub=" "),
    "sub with a space after": token(sub="alice "),
    "sub with a newline": token(sub="alice\nadmin"),
    "sub with a NUL": token(sub="alice\0"),
    "sub with an invisible character": token(sub="al\u200bice"),
    "sub with half a character": token(sub="\ud800"),
    "sub of 256 characters": token(sub="a" * 256),
    "sub a number": token(sub=1),
    "sub a list": token(sub=["alice"]),
    "two subs": signed('{"sub":"alice","exp":1800000060,"sub":"admin"}'),
    "two members deep inside": signed('{"sub":"alice","exp":1800000060,"x":{"a":1,"a":2}}'),
    "two algorithms": signed(claims(), '{"alg":"HS256","alg":"HS256"}'),
    "typ of an access token": signed(claims(), HEADER | {"typ": "at+jwt"}),
    "typ of another purpose": signed(claims(), HEADER | {"typ": "dpop+jwt"}),
    "typ that is no string": signed(claims(), HEADER | {"typ": None}),
    "an extension that must be understood": signed(claims(), HEADER | {"crit": ["exp"], "exp": 1}),
    "an extension that PyJWT understands": signed(claims(), HEADER | {"crit": ["b64"], "b64": True}),
    "a payload apart": signed("", HEADER | {"crit": ["b64"], "b64": False}),
    "an audience that nobody asked for": token(aud="chat"),
    "claims that are no object": signed([claims()]),
    "claims that are no JSON": signed("sub=alice"),
    "claims in UTF-16": signed(json.dumps(claims()).encode("utf-16")),
    "a header that is no object": signed(claims(), ["HS256"]),
    "too long": token(padding="x" * 8192),
    "the scheme twice": f"Bearer {GOOD}",
    "empty": "",
}
if sys.version_info < (3, 13):  # which reads what nests as deeply as a token can
    FORGED["claims nested deeply"] = signed(
        f'{{"sub":"alice","exp":1800000060,"x":{"[" * 2500}{"]" * 2500}}}'
    )


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
def test_forged_tokens_are_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        TokenReader(KEY).read(text, NOW)


def test_a_good_token_says_who_and_until_when() -> None:
    text = token(name="Alice", iat=NOW, nbf=NOW)
    found = TokenReader(KEY).read(text, NOW)
    assert found.user == User("alice")
    assert found.user.claims == claims(name="Alice", iat=NOW, nbf=NOW)
    assert found.expires == NOW + 60


@pytest.mark.parametrize(
    "header", [{"alg": "HS256"}, HEADER, HEADER | {"typ": "jwt"}, HEADER | {"kid": "2026"}]
)
def test_headers_that_mean_the_same_pass(header: dict[str, str]) -> None:
    assert TokenReader(KEY).read(signed(claims(), header), NOW).user.id == "alice"


def test_a_subject_may_be_in_any_script() -> None:
    assert TokenReader(KEY).read(token(sub="Алиса 愛麗絲"), NOW).user.id == "Алиса 愛麗絲"


def test_times_may_have_fractions() -> None:
    assert TokenReader(KEY).read(token(exp=NOW + 0.5), NOW).expires == NOW + 0.5


def test_leeway_extends_both_ends() -> None:
    reader = TokenReader(KEY, leeway=5)
    assert reader.read(token(exp=NOW - 4, nbf=NOW + 4, iat=NOW + 4), NOW).expires == NOW + 1
    for late in ({"exp": NOW - 5}, {"nbf": NOW + 6}, {"iat": NOW + 6}):
        with pytest.raises(InvalidToken):
            reader.read(token(**late), NOW)


@pytest.mark.parametrize("aud", ["chat", ["chat"], ["other", "chat"]])
def test_the_audience_is_one_of_the_tokens(aud: object) -> None:
    assert TokenReader(KEY, audience="chat").read(token(aud=aud), NOW).user.id == "alice"


@pytest.mark.parametrize("aud", [None, "", [], "other", "chat2", ["other"], ["chat", 1], {"chat": 1}])
def test_another_audience_is_refused(aud: object) -> None:
    for audience in ("chat", ["chat", "chat-staging"]):
        with pytest.raises(InvalidToken):
            TokenReader(KEY, audience=audience).read(token(aud=aud), NOW)


def test_the_issuer_is_compared() -> None:
    issuer = "https://issuer.example"
    assert TokenReader(KEY, issuer=issuer).read(token(iss=issuer), NOW).user.id == "alice"
    for other in (None, "", "https://issuer.example/", [issuer]):
        with pytest.raises(InvalidToken):
            TokenReader(KEY, issuer=issuer).read(token(iss=other), NOW)


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", fullmatch=True)))
def test_any_text_is_refused_with_the_same_error(text: str) -> None:
    with pytest.raises(InvalidToken):
        TokenReader(KEY).read(text, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "jti"]), JSON))
def test_any_signed_claims_are_read_or_refused(changes: dict[str, object]) -> None:
    text = signed(claims() | changes)
    try:
        found = TokenReader(KEY).read(text, NOW)
    except InvalidToken:
        return
    assert NOW < found.expires < 253_402_300_800
    assert found.user.id.isprintable()


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk"]), JSON))
def test_any_signed_header_is_read_or_refused(changes: dict[str, object]) -> None:
    text = signed(claims(), HEADER | changes)
    with suppress(InvalidToken):
        assert TokenReader(KEY).read(text, NOW).user.id == "alice"


@pytest.mark.parametrize("algorithms", [[], ["none"], ["HS256", "none"], ["HS256", "RS256"], "HS256"])
def test_algorithms_are_of_one_family(algorithms: list[str]) -> None:
    assert refusal(lambda: TokenReader(KEY, algorithms=algorithms)) == (
        "algorithms must list signatures of one family, as one key serves one, such as ['HS256'] or "
        f"['RS256', 'RS384'], not {algorithms!r}."
    )


def test_a_short_key_is_refused_at_start_up() -> None:
    assert refusal(lambda: TokenReader("secret")) == (
        "The HMAC key is 6 bytes long, which is below the minimum recommended length of 32 bytes for SHA256. "
        "See RFC 7518 Section 3.2."
    )


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ",
        None,
    ],
)
def test_a_public_key_is_no_secret(key: str) -> None:
    assert refusal(lambda: TokenReader(key)) == (
        "The key does not fit HS256: HS takes a secret, the others take the public key of their kind, as PEM."
    )


def test_an_algorithm_that_is_not_there_is_refused_at_start_up() -> None:
    assert refusal(lambda: TokenReader(KEY, algorithms=["HS123"])) == (
        "HS123 is not available: RS, PS, ES and EdDSA need pip install 'pyjwt[crypto]'."
    )


def test_a_public_key_checks_its_own_tokens_and_cannot_be_taken_for_a_secret() -> None:
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    forms = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    private = ec.generate_private_key(ec.SECP256R1())
    public = (
        private.public_key()
        .public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    reader = TokenReader(public, algorithms=["ES256"])
    assert reader.read(jwt.encode(claims(), private, "ES256"), NOW).user.id == "alice"
    for header in (HEADER, HEADER | {"alg": "ES256"}):
        with pytest.raises(InvalidToken):
            reader.read(signed(claims(), header, key=public), NOW)
    for other in ("HS256", "ES384", "RS256"):
        with pytest.raises(ConfigurationError, match=f"^The key does not fit {other}: "):
            TokenReader(public, algorithms=[other])


def test_a_json_web_key_is_a_key() -> None:
    key = jwt.PyJWK({"kty": "oct", "k": segment(KEY), "alg": "HS256"})
    assert TokenReader(key).read(GOOD, NOW).user.id == "alice"


def test_leeway_is_minutes_at_most() -> None:
    assert refusal(lambda: TokenReader(KEY, leeway=3600)) == "leeway must be 0 to 600 seconds, not 3600."


ALL: tuple[Source, ...] = ("header", "subprotocol", "query", "cookie")


def handshake(
    *headers: tuple[str, str], subprotocols: tuple[str, ...] = (), query: str = ""
) -> dict[str, object]:
    return {
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "subprotocols": list(subprotocols),
        "query_string": query.encode(),
    }


@pytest.mark.parametrize(
    "scope, expected",
    [
        (handshake(("authorization", "Bearer abc")), "abc"),
        (handshake(("authorization", "bearer  abc ")), "abc"),
        (handshake(("authorization", "Bearer")), ""),
        (handshake(("authorization", "Basic abc")), None),
        (handshake(subprotocols=("bearer", "abc")), "abc"),
        (handshake(subprotocols=("v2", "bearer", "abc")), "abc"),
        (handshake(subprotocols=("bearer",)), ""),
        (handshake(subprotocols=("abc",)), None),
        (handshake(query="token=abc"), "abc"),
        (handshake(query="a=1&token=abc&b=2"), "abc"),
        (handshake(query="token="), ""),
        (handshake(query="TOKEN=abc&my_token=abc&%74oken=abc"), None),
        (handshake(("cookie", "a=1; token=abc; b=2")), "abc"),
        (handshake(("cookie", "a=1"), ("cookie", "token=abc")), "abc"),
        (handshake(("cookie", "mytoken=abc")), None),
        (handshake(), None),
        # The first source that has one decides, a bad one too.
        (handshake(("authorization", "Bearer a"), subprotocols=("bearer", "b"), query="token=c"), "a"),
        (handshake(("cookie", "token=d"), subprotocols=("bearer", "b"), query="token=c"), "b"),
        (handshake(("cookie", "token=d"), query="token="), ""),
        (handshake(("authorization", "Basic abc"), ("cookie", "token=d")), "d"),
    ],
)
def test_where_a_handshake_carries_its_token(scope: dict[str, object], expected: str | None) -> None:
    assert find_token(scope, ALL, "token") == expected


@pytest.mark.parametrize(
    "scope",
    [
        handshake(("authorization", "Bearer a"), ("authorization", "Bearer b")),
        handshake(subprotocols=("bearer", "a", "bearer", "b")),
        handshake(subprotocols=("bearer", "bearer", "b")),
        handshake(query="token=a&token=b"),
        handshake(("cookie", "token=a; token=b")),
        handshake(("cookie", "token=a"), ("cookie", "token=a")),
    ],
)
def test_two_tokens_in_one_place_are_refused(scope: dict[str, object]) -> None:
    with pytest.raises(InvalidToken, match=r"^two tokens in the "):
        find_token(scope, ALL, "token")


def test_sources_can_be_switched_off() -> None:
    everywhere = handshake(
        ("authorization", "Bearer a"),
        ("cookie", "session=d"),
        subprotocols=("bearer", "b"),
        query="session=c",
    )
    for source, expected in zip(ALL, "abcd", strict=True):
        assert find_token(everywhere, [source], "session") == expected
    assert find_token(handshake(query="session=c"), ["header", "cookie"], "session") is None
