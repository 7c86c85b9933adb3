"""Where the time goes, of a token never seen and of a request whose token is remembered.

Each stage is called by itself, in a row, on what the whole gives it: distinct tokens, or one request. What
the stages of a token come to together is less than the whole: the rest is what holds them together, and that
each finds the processor's caches full of the others. A request is measured from the outside in: each row
holds those below it, as far as they are a part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from harness.figures import Figure, Report, versions_of
from harness.rounds import Sample, per_call, ratio, rounds, spread
from harness.tokens import Key
from peers.contender import Given
from peers.doorward import doors, headers, verifiers

from doorward import Refusal
from doorward.door.door import Admission
from doorward.door.forwarding import without_signature
from doorward.tokens import jws
from doorward.tokens.claims import plainly_good
from doorward.tokens.principal import Principal
from doorward.tokens.token_cache import TokenCache, Verified
from doorward_integrations.asgi import InvokerMiddleware

COUNT = 300
CALLS = 3000
NEW, REMEMBERED = "a token never seen, by stages", "a request whose token is remembered, by stages"


def each(work: Callable[..., object], given: Sequence[tuple[object, ...]]) -> Sample:
    """Measure a stage on what it is given for each token."""

    def sample() -> float:
        began = time.perf_counter()
        for one in given:
            work(*one)
        return (time.perf_counter() - began) / len(given)

    return sample


def singly(given: Sequence[object]) -> list[tuple[object]]:
    """Give each as the one argument of a call."""
    return [(one,) for one in given]


def stages(key: Key) -> dict[str, Sample]:
    """Give the stages, in the order in which the verifier goes through them."""
    fresh = verifiers(Given(key, "", "", {}))
    verifier = fresh()
    source = verifier._sources[0]
    signer = source.signing_key(key.kid, verifier.now())
    assert signer is not None
    tokens = [key.token(number).encode() for number in range(COUNT)]
    parts = [jws.split(token) for token in tokens]
    texts = [jws.decode_payload(payload) for _, _, payload, _ in parts]
    claims = [jws.read_claims(text) for text in texts]
    signed = [sha256(signing_input).digest() for signing_input, *_ in parts]
    signatures = [jws.decode_signature(signature) for *_, signature in parts]
    now, memo = verifier.now(), TokenCache(8192)
    assert all(map(signer.verify, signatures, signed))
    assert all(plainly_good(one, source.expected, now) for one in claims)

    def remember(digest: bytes) -> None:
        memo.find(digest, now)
        memo.add(digest, Verified(nobody, now, source.cache, signer))

    nobody = Principal(MappingProxyType({}), None)

    def whole() -> float:
        look = fresh().look
        return each(look, singly(tokens))()

    return {
        "the whole of it": whole,
        "digest of the token, to remember it by": each(lambda token: sha256(token).digest(), singly(tokens)),
        "cutting it into segments": each(jws.split, singly(tokens)),
        "payload out of base64url": each(jws.decode_payload, singly([part[2] for part in parts])),
        "a admit_cached at expiry and audience": each(
            lambda text: jws.doubtful(text, now - 30, source.expected.audience_marks), singly(texts)
        ),
        "digest of what is signed": each(
            lambda text: sha256(text).digest(), singly([part[0] for part in parts])
        ),
        "signature out of base64url": each(jws.decode_signature, singly([part[3] for part in parts])),
        "the signature itself": each(signer.verify, [*zip(signatures, signed, strict=True)]),
        "payload out of JSON": each(jws.read_claims, singly(texts)),
        "the claims": each(lambda one: plainly_good(one, source.expected, now), singly(claims)),
        "the principal": each(lambda one: Principal(MappingProxyType(one), source.issuer), singly(claims)),
        "looking in the memory, and adding to it": each(remember, singly(signed)),
        "nothing, which is in each stage above": each(lambda _: None, singly(tokens)),
    }


async def nothing(_scope: MutableMapping[str, Any], _receive: object, _send: object) -> None:
    """Be an application that does nothing."""


def remembered(key: Key) -> dict[str, Sample]:
    """Give the stages of a request, each with those that come after it."""
    door = doors(Given(key, "", "", {}))()
    request = headers(key.token())
    assert not isinstance(door.admit(request), Refusal)
    admission = door.admit_cached(request, "GET", "/")
    assert admission is not None
    place = next(at for at, (name, _) in enumerate(request) if name == b"authorization")
    token = request[place][1].removeprefix(b"Bearer ")
    scope = {
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

    def driven(app: Callable[..., Any]) -> Sample:
        def work() -> None:
            try:
                app(scope, None, None).send(None)
            except StopIteration:
                return
            raise AssertionError("it waits for something")

        return per_call(work, CALLS)

    return {
        "an application that does nothing": driven(nothing),
        "the middleware in front of it": driven(InvokerMiddleware(nothing, door)),  # type: ignore[arg-type]
        "the door, at a admit_cached": per_call(lambda: door.admit_cached(request, "GET", "/"), CALLS),
        "the memory": per_call(lambda: door.verifier.recall(token), CALLS),
        "digest of the token": per_call(lambda: sha256(token).digest(), CALLS),
        "the headers, less the signature": per_call(lambda: without_signature(request, place), CALLS),
        "what the application gets": per_call(
            lambda: Admission(admission.principal, request, admission.decision), CALLS
        ),
    }


def main() -> None:
    """Measure."""
    chosen = Report.arguments(__doc__, runs=45).parse_args()
    report = Report("stages", chosen.runs, versions_of(["doorward", "cryptography"]))
    key = Key()
    for group, samples in ((NEW, stages(key)), (REMEMBERED, remembered(key))):
        taken = rounds(samples, chosen.runs)
        whole = taken["the whole of it"] if group == NEW else taken["the middleware in front of it"]
        for name, values in taken.items():
            times = spread([value * 1e6 for value in values])
            report.figures.append(Figure.of(group, name, "us", times))
        for name, values in taken.items():
            shares = ratio([100 * value for value in values], whole)
            report.figures.append(Figure.of(f"{group}: shares", name, "% of the whole", shares))
    report.finish(save=chosen.save)


if __name__ == "__main__":
    main()
