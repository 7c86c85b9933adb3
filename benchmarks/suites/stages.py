"""The time of each step: of a token never seen, and of a request whose token is cached.

Each stage is called by itself, in a row, on the input that the whole gives it: distinct tokens, or one
request. The stages of a token add up to less than the whole: the rest is the code between them, and that each
finds the processor's caches filled by the others. A request is measured from the outside in: each row
includes those below it, as far as they are a part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, per_call, ratio, rounds, spread
from harness.tokens import Key
from peers.contender import Given
from peers.doorward import doors, headers, verifiers

from doorward import Principal, Refusal
from doorward.base64url import decode
from doorward.door.admission import Admission
from doorward.door.forwarding import without_signature
from doorward.keys.key import VerificationKey
from doorward.tokens import jws
from doorward.tokens.accepted_issuer import AcceptedIssuer
from doorward.tokens.claims import refuse_early
from doorward.tokens.engine import Engine
from doorward.tokens.token_cache import TokenCache, VerifiedToken
from doorward.tokens.verifier import engine_of
from doorward_integrations.asgi import InvokerMiddleware

COUNT = 300
CALLS = 3000
NEW, CACHED = "a token never seen, by stages", "a request whose token is cached, by stages"
WHOLE = {NEW: "the whole of it", CACHED: "the middleware in front of it"}
"""By group, the row that the shares are of."""


def each(work: Callable[..., object], given: Sequence[tuple[object, ...]]) -> Sample:
    """Measure a stage on its input for each token."""

    def sample() -> float:
        began = time.perf_counter()
        for one in given:
            work(*one)
        return (time.perf_counter() - began) / len(given)

    return sample


def singly(given: Sequence[object]) -> list[tuple[object]]:
    """Return each as the one argument of a call."""
    return [(one,) for one in given]


class Decoded(jws.Token):
    """A token whose payload is out of base64url already, so that the look at it is measured apart."""

    __slots__ = ()

    def _decode_payload(self) -> bytes:
        assert self._json is not None
        return self._json


@dataclass(frozen=True)
class Parts:
    """The input of each stage, for all tokens.

    Attributes:
        tokens: The compact forms.
        split: The same, split, with the payload out of base64url.
        claims: Their payloads.
        signed: The digests of what is signed.
        signatures: Their signatures, out of base64url.
    """

    tokens: list[bytes]
    split: list[Decoded]
    claims: list[dict[str, object]]
    signed: list[bytes]
    signatures: list[bytes]

    @classmethod
    def of(cls, tokens: list[bytes]) -> Parts:
        """Take the tokens apart."""
        split = [Decoded(token, sha256(token).digest()) for token in tokens]
        for one in split:
            one._json = decode(one.payload)
        return cls(
            tokens,
            split,
            [one.read_claims() for one in split],
            [one.signed_digest() for one in split],
            [one.decode_signature() for one in split],
        )


def read_claims(token: jws.Token) -> None:
    """Read the claims anew: a token keeps those that it has read."""
    token._claims = None
    token.read_claims()


def look_early(accepted: AcceptedIssuer, now: float) -> Callable[[jws.Token], None]:
    """Return the look at a payload before the signature, for tokens whose claims were not read yet."""
    expectations = accepted.expectations

    def look(token: jws.Token) -> None:
        token._claims = None
        refuse_early(token, expectations, now)

    return look


def caching(accepted: AcceptedIssuer, key: VerificationKey, now: float) -> Callable[[bytes], None]:
    """Return a look in a token cache for a digest that is not in it, and the addition of its entry."""
    cache, principal = TokenCache(8192), Principal(MappingProxyType({}), None)

    def find_and_add(digest: bytes) -> None:
        cache.find(digest, now)
        cache.add(digest, VerifiedToken(principal, now, accepted.key_source, key))

    return find_and_add


def stages(key: Key) -> dict[str, Sample]:
    """Return the stages, in the order in which the engine takes them."""
    fresh = verifiers(Given(key, "", "", {}))
    engine = engine_of(fresh())
    (accepted,) = engine.issuers
    now = engine.clock()
    signer = accepted.key_at_hand(key.kid, now)
    assert signer is not None
    parts = Parts.of([key.token(number).encode() for number in range(COUNT)])
    assert all(map(signer.verify, parts.signatures, parts.signed))
    assert all(accepted.check_claims(one, now) > now for one in parts.claims)

    def whole() -> float:
        return each(engine_of(fresh()).start, singly(parts.tokens))()

    tokens, split = singly(parts.tokens), singly(parts.split)
    digests = [(token, one.digest) for token, one in zip(parts.tokens, parts.split, strict=True)]
    return {
        WHOLE[NEW]: whole,
        "digest of the token, its key in the cache": each(lambda token: sha256(token).digest(), tokens),
        "splitting it into segments": each(jws.Token, digests),
        "payload out of base64url": each(decode, singly([one.payload for one in parts.split])),
        "expiry and audience, before the signature": each(look_early(accepted, now), split),
        "signature out of base64url": each(lambda one: one.decode_signature(), split),
        "digest of what is signed": each(lambda one: one.signed_digest(), split),
        "the signature itself": each(signer.verify, [*zip(parts.signatures, parts.signed, strict=True)]),
        "payload out of JSON": each(read_claims, split),
        "the claims": each(lambda one: accepted.check_claims(one, now), singly(parts.claims)),
        "the principal": each(
            lambda one: Principal(MappingProxyType(one), accepted.issuer), singly(parts.claims)
        ),
        "a look in the token cache, and an entry added": each(
            caching(accepted, signer, now), singly([one.digest for one in parts.split])
        ),
        "nothing, which is in each stage above": each(lambda _: None, tokens),
    }


async def nothing(_scope: MutableMapping[str, Any], _receive: object, _send: object) -> None:
    """An ASGI application that does nothing."""


def scope_of(request: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Return the ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 8001),
        "scheme": "http",
        "root_path": "",
        "headers": request,
        "state": {},
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
    }


def driven(app: Callable[..., Any], scope: dict[str, Any]) -> Sample:
    """Measure an application that waits for nothing, without an event loop."""

    def work() -> None:
        try:
            app(scope, None, None).send(None)
        except StopIteration:
            return
        raise AssertionError("the application waits")

    return per_call(work, CALLS)


def cached(key: Key) -> dict[str, Sample]:
    """Return the stages of a request, each including those that come after it."""
    door = doors(Given(key, "", "", {}))()
    engine: Engine = engine_of(door.verifier)
    request = headers(key.token())
    assert not isinstance(door.admit(request), Refusal)
    admission = door.admit_cached(request, "GET", "/")
    assert admission is not None
    position = next(at for at, (name, _) in enumerate(request) if name == b"authorization")
    token = request[position][1].removeprefix(b"Bearer ")
    scope = scope_of(request)
    middleware: Callable[..., Any] = InvokerMiddleware(nothing, door)  # type: ignore[arg-type]
    return {
        "an application that does nothing": driven(nothing, scope),
        WHOLE[CACHED]: driven(middleware, scope),
        "the door, from its cache": per_call(lambda: door.admit_cached(request, "GET", "/"), CALLS),
        "the token cache": per_call(lambda: engine.find_cached(token), CALLS),
        "digest of the token": per_call(lambda: sha256(token).digest(), CALLS),
        "the headers, less the signature": per_call(lambda: without_signature(request, position), CALLS),
        "the admission": per_call(lambda: Admission(admission.principal, request, admission.decision), CALLS),
    }


def main() -> None:
    """Measure."""
    chosen = Report.arguments(__doc__, runs=45).parse_args()
    report = Report("stages", chosen.runs, versions_of(["doorward", "cryptography"]))
    key = Key()
    for group, samples in ((NEW, stages(key)), (CACHED, cached(key))):
        taken = rounds(samples, chosen.runs)
        whole = taken[WHOLE[group]]
        for name, values in taken.items():
            times = spread([value * 1e6 for value in values])
            report.figures.append(Figure.of(group, name, "us", times))
        for name, values in taken.items():
            shares = ratio([100 * value for value in values], whole)
            report.figures.append(Figure.of(f"{group}: shares", name, "% of the whole", shares))
    report.finish(save=chosen.save)


if __name__ == "__main__":
    main()
