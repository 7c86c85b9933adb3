"""Verify from several threads at once, in a process of its own, so that any interpreter can run it.

Prints a line of JSON: whether the interpreter has a global lock, and for each kind of token and number of
threads the seconds per verification, round by round.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable

import jwt
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from harness.rounds import Sample, rounds
from harness.threads import together
from harness.tokens import AUDIENCE, ISSUER, Key

from suites._growth_world import AGAIN, NEVER, refuses_what_is_bad, verifier_of

__all__ = ["CALLS", "THREADS"]

THREADS = (1, 2, 4, 8)
EACH = 24
"""Tokens of each thread; a verifier that must find none of them in its cache caches fewer."""

BARE, PEER = "bare RS256 verification", "PyJWT's decode"
CALLS = {BARE: 1_920, PEER: 1_920, NEVER: 1_920, AGAIN: 38_400}
"""Verifications of a sample, shared among its threads."""


def main() -> None:
    """Measure each kind with each number of threads."""
    key = Key()
    tokens = [[key.token(EACH * number + one) for one in range(EACH)] for number in range(max(THREADS))]
    verifiers = {
        NEVER: verifier_of({ISSUER: key}, token_cache_size=EACH // 2),
        AGAIN: verifier_of({ISSUER: key}),
    }
    for verifier in verifiers.values():
        refuses_what_is_bad(verifier, key)

    public = key.public
    assert isinstance(public, rsa.RSAPublicKey)
    scheme, digest = padding.PKCS1v15(), SHA256()
    signed = b"what is signed"
    signature = key.sign(signed)
    verifies: dict[str, Callable[[str], object]] = {
        kind: verifier.verify for kind, verifier in verifiers.items()
    }
    verifies[BARE] = lambda _: public.verify(signature, signed, scheme, digest)

    verifies[PEER] = lambda token: jwt.decode(token, public, ["RS256"], audience=AUDIENCE, issuer=ISSUER)
    assert verifies[PEER](tokens[0][0])

    def sample(kind: str, threads: int) -> Sample:
        verify, repeat = verifies[kind], CALLS[kind] // EACH // threads

        def work(number: int) -> None:
            mine: Iterable[str] = tokens[number]
            for _ in range(repeat):
                for token in mine:
                    verify(token)

        return lambda: together(threads, work) / CALLS[kind]

    samples = {f"{kind}|{threads}": sample(kind, threads) for kind in CALLS for threads in THREADS}
    taken = rounds(samples, int(sys.argv[1]))
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(json.dumps({"locked": locked, "taken": taken, "python": sys.version.split()[0]}))


if __name__ == "__main__":
    main()
