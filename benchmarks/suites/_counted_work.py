"""The work that ``counted`` counts, and the process that does it.

Nothing in it changes from run to run: the clock stands still, the garbage collector is off, keys and tokens
come from outside, and each case runs so often before it counts that the interpreter has specialised its code.
"""

from __future__ import annotations

import binascii
import gc
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import cycle
from types import FrameType, MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from harness.tokens import AUDIENCE, CALLER, ISSUER, Key
from peers.doorward import headers

from doorward import GOOGLE, Door, InvokerPolicy, KeyCache, Principal, RefusedError, Verifier
from doorward.keys.fetch import FetchResponse

__all__ = ["BARE", "DIGEST", "MARKS", "OWN", "RULER", "TURNS", "material"]

NOW = 1_790_000_000.0
TOKENS = 64
CACHED = 16
"""Tokens that a verifier caches here: so few that none is in the cache when its turn comes again."""

WARM = 2 * TOKENS
TURNS = 4 * TOKENS
MARKS = ("getpriority", "__getpriority")
"""The names of the function of the C library at whose calls callgrind starts a new count."""

RULER = "the ruler: a fixed bit of Python"
BARE = "bare RS256 verification"
DIGEST = "SHA-256 of a token"
NEVER, AGAIN, DOOR = "token never seen", "token seen before", "whole door, token seen before"
GARBAGE, FORGED, EXPIRED = "garbage refused", "forged signature refused", "expired token refused"
DECISION = "policy decision"
OWN = (NEVER, AGAIN, DOOR, GARBAGE, FORGED, EXPIRED, DECISION)
"""The cases of doorward; the others are the units for them."""

_VERIFY, _DIGEST = {"verify"}, {"openssl_sha256", "sha256"}

Work = Callable[[], object]


def material() -> dict[str, Any]:
    """Make the key and the tokens, outside of the counted process."""
    key = Key()
    times = {"iat": int(NOW), "exp": int(NOW) + 3600}
    tokens = [key.token(number, **times) for number in range(TOKENS)]
    garbage = random.Random(0).choices("ABCDEFGHIJKLMNOPabcdefghijklmnop0123456789-_", k=len(tokens[0]))
    garbage[200] = garbage[-342] = "."
    signing_input, _, signature = tokens[0].rpartition(".")
    other = "B" if signature[100] == "A" else "A"
    return {
        "jwk": key.jwk,
        "tokens": tokens,
        "garbage": "".join(garbage),
        "forged": f"{signing_input}.{signature[:100]}{other}{signature[101:]}",
        "expired": key.token(iat=int(NOW) - 3600, exp=int(NOW) - 60),
    }


class _Entry:
    __slots__ = ("kind", "name", "until")

    def __init__(self, name: str, until: float) -> None:
        self.name = name
        self.until = until
        self.kind: object = None

    def holds(self, now: float) -> bool:
        return now < self.until


def _ruler() -> Work:
    """Return a fixed piece of work of the kind that a verifier does: calls, dictionaries, bytes, JSON."""
    known: dict[bytes, _Entry] = {}
    texts = [b"%d.eyJhIjoiYiIsImMiOlsxLDIsM119.x" % number for number in range(8)]
    turn = cycle(texts).__next__

    def find(text: bytes) -> _Entry | None:
        found = known.get(text)
        return found if found is not None and found.holds(1.0) else None

    def read(text: bytes) -> Mapping[str, object]:
        parts = text.split(b".", 3)
        if len(parts) != 3 or not parts[0]:
            raise ValueError(text)
        members = json.loads(str(binascii.a2b_base64(parts[1].translate(None, b"-_")), "utf-8"))
        if type(members) is not dict or "z" in members:
            raise TypeError(members)
        return MappingProxyType(members)

    def work() -> None:
        text = turn()
        known.clear()
        for _ in range(4):
            if find(text) is None:
                try:
                    claims = read(text)
                    known[text] = _Entry(f"{claims['a']}:{len(text)}", 2.0)
                    claims["z"]
                except KeyError as error:
                    known[text].kind = error.args
            names = {name: isinstance(member, str) for name, member in {"a": 1, "b": "c", "d": None}.items()}
            if not any(names.values()) or sorted(names) != ["a", "b", "d"]:
                raise ValueError(names)

    return work


def _refused(verifier: Verifier, token: bytes) -> Work:
    def work() -> None:
        try:
            verifier.verify(token)
        except RefusedError:
            return
        raise AssertionError("a bad token was accepted")

    return work


def _verifier(given: Mapping[str, Any]) -> Verifier:
    """Make a verifier that holds its keys, with a clock that stands still."""
    jwks = json.dumps({"keys": [given["jwk"]]}).encode()
    made = Verifier(
        AUDIENCE,
        token_cache_size=CACHED,
        clock=lambda: NOW,
        key_cache=lambda issuer: KeyCache(
            issuer.key_url,
            fetch=lambda *_: FetchResponse(jwks, {"cache-control": "max-age=3600"}),
            clock=lambda: NOW,
            monotonic=lambda: 0.0,
        ),
    )
    made.warm()
    return made


def _bare(given: Mapping[str, Any]) -> Work:
    """Return the verification of one signature, with everything decoded before."""
    signing_input, _, signature = given["tokens"][0].encode().rpartition(b".")
    raw = binascii.a2b_base64(signature.translate(bytes.maketrans(b"-_", b"+/")) + b"==")
    n, e = (
        int.from_bytes(binascii.a2b_base64(given["jwk"][name].replace("-", "+").replace("_", "/") + "=="))
        for name in "ne"
    )
    public, scheme, algorithm = rsa.RSAPublicNumbers(e, n).public_key(), padding.PKCS1v15(), SHA256()
    return lambda: public.verify(raw, signing_input, scheme, algorithm)


def cases(given: Mapping[str, Any]) -> dict[str, Work]:
    """Prepare each case.

    Args:
        given: The result of `material`.

    Returns:
        The cases by name, ready to be called.
    """
    tokens = [token.encode() for token in given["tokens"]]
    turn = cycle(tokens).__next__
    fresh, known = _verifier(given), _verifier(given)
    policy = InvokerPolicy.from_members([f"serviceAccount:{CALLER}"])
    door = Door(_verifier(given), policy)
    request = headers(given["tokens"][0])
    claims = {"sub": "1", "email": CALLER, "email_verified": True, "iss": ISSUER}
    caller = Principal(MappingProxyType(claims), GOOGLE)
    return {
        RULER: _ruler(),
        BARE: _bare(given),
        DIGEST: lambda: sha256(tokens[0]).digest(),
        NEVER: lambda: fresh.verify(turn()),
        AGAIN: lambda: known.verify(tokens[0]),
        DOOR: lambda: door.admit(request),
        GARBAGE: _refused(fresh, given["garbage"].encode()),
        FORGED: _refused(fresh, given["forged"].encode()),
        EXPIRED: _refused(fresh, given["expired"].encode()),
        DECISION: lambda: policy.decide(caller),
    }


def checked(given: Mapping[str, Any]) -> dict[str, Work]:
    """Return the cases, after a check that each does what its name says."""
    made = cases(given)
    first = made[AGAIN]()
    assert isinstance(first, Principal)
    assert made[AGAIN]() is first
    assert {made[NEVER]() is made[NEVER]() for _ in range(TOKENS)} == {False}
    assert getattr(made[DOOR](), "principal", None) is not None
    assert getattr(made[DECISION](), "granted", False) is True
    for name in (BARE, GARBAGE, FORGED, EXPIRED):
        made[name]()
    return made


def count(work: Work) -> Counter[str]:
    """Count, in one call of it, the ``calls`` of functions, in Python or built in, and the cryptography."""
    seen: Counter[str] = Counter()

    def see(_frame: FrameType, event: str, detail: object) -> None:
        if event in {"call", "c_call"}:
            seen["calls"] += 1
        if event == "c_call":
            name = getattr(detail, "__name__", "")
            seen[BARE] += name in _VERIFY
            seen[DIGEST] += name in _DIGEST

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    seen["calls"] -= 1  # the call that ends the profile
    return seen


def calls(given: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Count the calls of each case: the most of several rounds, and how often it verifies and digests.

    Args:
        given: The result of `material`.
    """
    found: dict[str, dict[str, int]] = {}
    for name, work in checked(given).items():
        for _ in range(WARM):
            work()
        seen = [count(work) for _ in range(TOKENS)]
        found[name] = {what: max(one[what] for one in seen) for what in ("calls", BARE, DIGEST)}
    return found


def run(given: Mapping[str, Any]) -> None:
    """Do each case between two marks, at which callgrind starts a new count."""
    made = checked(given)
    gc.collect()
    gc.disable()
    for work in made.values():
        repeat = [None] * TURNS
        for _ in range(WARM):
            work()
        _mark()
        for _ in repeat:
            work()
        _mark()


def _mark() -> None:
    os.getpriority(os.PRIO_PROCESS, 0)


if __name__ == "__main__":
    material_given = json.load(sys.stdin)
    if sys.argv[1] == "calls":
        json.dump(calls(material_given), sys.stdout)
    else:
        run(material_given)
