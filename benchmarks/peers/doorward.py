"""doorward itself: its verifier and its door, with keys from memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.tokens import AUDIENCE, CALLER, ISSUER, Key

from doorward import GOOGLE, Door, InvokerPolicy, Issuer, KeyCache, Verifier
from doorward.keys.fetch import FetchResponse
from peers.contender import Contender, Given, Verify

__all__ = ["CONTENDERS", "NOTES", "doors", "headers", "verifiers"]

NAMES = ("doorward", "doorward, averify")

NOTES = {
    (name, "unknown key id"): "under attack: its budget of refreshes for unknown key ids is used up"
    for name in NAMES
}
"""Further notes, by contender and kind of bad token."""


class InMemory:
    """A key endpoint that answers from memory."""

    def __init__(self, jwks: bytes) -> None:
        self.jwks = jwks

    def __call__(self, _url: str, _headers: Mapping[str, str], /) -> FetchResponse:
        return FetchResponse(self.jwks, {"cache-control": "public, max-age=20000"})


def verifiers(given: Given, issuers: int = 1) -> Callable[[], Verifier]:
    """Return a function that makes verifiers as an application does, over keys that are held already.

    A new verifier has cached one token and its header, as every verifier in use has.

    Args:
        given: The key of the first issuer, which signs all tokens.
        issuers: The number of accepted issuers.
    """
    alg = given.key.alg
    issuer = (
        GOOGLE
        if alg in GOOGLE.algorithms
        else Issuer(name="bench", iss_values=(ISSUER,), key_url=GOOGLE.key_url, algorithms=(alg,))
    )
    caches = {issuer.name: KeyCache(issuer.key_url, issuer.algorithms, fetch=InMemory(given.key.jwks))}
    others = [
        Issuer(name=f"other {number}", iss_values=(f"https://{number}.example",), key_url=GOOGLE.key_url)
        for number in range(1, issuers)
    ]
    for one in others:
        caches[one.name] = KeyCache(one.key_url, one.algorithms, fetch=InMemory(Key(kid=one.name).jwks))
    for cache in caches.values():
        cache.warm()
    first = given.key.token(10**9)

    def fresh() -> Verifier:
        made = Verifier(AUDIENCE, issuers=[issuer, *others], key_cache=lambda one: caches[one.name])
        made.verify(first)
        return made

    return fresh


def _verify(given: Given) -> Callable[[], Verify]:
    fresh = verifiers(given)
    return lambda: fresh().verify


def _averify(given: Given) -> Callable[[], Verify]:
    fresh = verifiers(given)
    return lambda: fresh().averify


def doors(given: Given, member: str = f"serviceAccount:{CALLER}") -> Callable[[], Door]:
    """Return a function that makes doors which admit one member: by default, the caller of all tokens."""
    fresh, policy = verifiers(given), InvokerPolicy.from_members([member])
    return lambda: Door(fresh(), policy)


def headers(token: str | None) -> list[tuple[bytes, bytes]]:
    """Return the eight headers of a request between services, in ASGI's form; seven without a token."""
    authorization = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    return [
        (b"host", AUDIENCE.removeprefix("https://").encode()),
        (b"user-agent", b"python-requests/2.32"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        *authorization,
        (b"content-type", b"application/json"),
        (b"content-length", b"42"),
        (b"x-cloud-trace-context", b"105445aa7843bc8bf206b12000100000/1;o=1"),
    ]


CONTENDERS = (
    Contender(NAMES[0], _verify),
    Contender(NAMES[1], _averify, "awaited, all in one event loop", awaited=True),
)
