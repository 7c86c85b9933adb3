"""Present very many tokens to one verifier, in a process of its own, and examine what it keeps of them.

Prints a line of JSON at each of the stages. The tokens are signed by another process with an ES256 key, since
a signature of RSA would take ten times as long.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from harness.rounds import per_call
from harness.tokens import AUDIENCE, CALLER, ISSUER, Key, b64

from doorward import Verifier
from doorward.tokens.token_cache import TokenCache
from doorward.tokens.verifier import engine_of
from suites._growth_world import refuses_what_is_bad, verifier_of

__all__ = ["BOUND"]

BOUND = 8192
"""Tokens that a verifier caches by default."""

CHUNK = 500
PART = 17
"""Characters in a row that may not be kept: no more than 16 of a token may be shown anywhere."""

LOOKED_FOR = 300
"""The last tokens, parts of which are looked for at the end."""

HITS = 3_000
KEY: list[Key] = []


def _begin(private: bytes, kid: str) -> None:
    key = Key("ES256", kid)
    loaded = load_der_private_key(private, None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    key.private = loaded
    KEY.append(key)


def _sign(numbers: tuple[int, int, int]) -> list[bytes]:
    """Make tokens that differ by one claim."""
    first, last, now = numbers
    key = KEY[0]
    head = b64(json.dumps({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, separators=(",", ":")).encode())
    tokens = []
    for number in range(first, last):
        claims = (
            f'{{"aud":"{AUDIENCE}","azp":"{10**20 + number}","email":"{CALLER}","email_verified":true,'
            f'"exp":{now + 3600},"iat":{now},"iss":"{ISSUER}","sub":"{10**20 + number}"}}'
        )
        signing_input = f"{head}.{b64(claims.encode())}"
        tokens.append(f"{signing_input}.{b64(key.sign(signing_input.encode()))}".encode())
    return tokens


def resident() -> float:
    """Return the resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def reachable(root: object) -> Iterator[object]:
    """Yield every object that one refers to, except what a process shares: classes, modules, functions."""
    shared = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        here = waiting.pop()
        if id(here) in seen or isinstance(here, shared):
            continue
        seen.add(id(here))
        yield here
        waiting.extend(gc.get_referents(here))


def parts_kept(keeper: object, tokens: list[bytes]) -> tuple[int, int]:
    """Count the texts that an object keeps, and those that hold a part of a token's payload or signature."""
    parts: set[bytes] = set()
    for token in tokens:
        for segment in token.split(b".")[1:]:
            parts.update(segment[at : at + PART] for at in range(len(segment) - PART + 1))
    texts = kept = 0
    for one in reachable(keeper):
        if isinstance(one, str | bytes | bytearray):
            raw = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else bytes(one)
            texts += 1
            kept += any(raw[at : at + PART] in parts for at in range(len(raw) - PART + 1))
    return texts, kept


def hit(verifier: Verifier, token: bytes) -> float:
    """Return the seconds of a hit, for a token that was just presented."""
    first = verifier.verify(token)
    assert verifier.verify(token) is first
    return min(per_call(lambda: verifier.verify(token), HITS)() for _ in range(5))


def cache_of(verifier: Verifier) -> TokenCache:
    """Return the token cache of a verifier that has one."""
    cache = engine_of(verifier)._token_cache
    assert cache is not None
    return cache


def present(verifier: Verifier, chunks: Iterator[list[bytes]], stages: list[int]) -> None:
    """Present all tokens, and print at each stage what is kept."""
    cache = cache_of(verifier)
    recent: deque[bytes] = deque(maxlen=LOOKED_FOR)
    verify, presented, largest, base = verifier.verify, 0, 0, None
    for chunk in chunks:
        for token in chunk:
            verify(token)
            if len(cache) > largest:
                largest = len(cache)
                assert largest <= BOUND, f"{largest} tokens are cached, over {BOUND}"
        presented += len(chunk)
        recent.extend(chunk)
        base = resident() if base is None else base
        if presented in stages:
            found: dict[str, float] = {"presented": presented, "cached": len(cache), "largest": largest}
            found |= {"MiB": resident() - base, "hit": hit(verifier, recent[-1])}
            if presented == stages[-1]:
                found |= look_through(verifier, list(recent))
            print(json.dumps(found), flush=True)


def look_through(verifier: Verifier, tokens: list[bytes]) -> dict[str, float]:
    """Check that no part of some cached tokens is kept, and that it would have been found."""
    texts, kept = parts_kept(verifier, tokens)
    assert parts_kept([tokens[0], {"x": tokens[-1].decode()[-20:]}], tokens)[1] == 2
    assert texts > len(cache_of(verifier)), "the walk does not reach the cached entries"
    assert not kept, f"{kept} texts hold a part of a token"
    return {"texts": texts, "parts": kept}


def main() -> None:
    """Sign in another process, verify in this one."""
    stages = sorted(int(one) for one in sys.argv[1:])
    key, now = Key("ES256"), int(time.time())
    private = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    verifier = verifier_of({ISSUER: key}, token_cache_size=BOUND)
    refuses_what_is_bad(verifier_of({ISSUER: key}), key)
    assert all(one % CHUNK == 0 for one in stages)
    ends = ((first, first + CHUNK, now) for first in range(0, stages[-1], CHUNK))
    with multiprocessing.get_context("spawn").Pool(1, _begin, (private, key.kid)) as pool:
        # Only a few chunks ahead: those that wait here take memory too.
        waiting = deque(pool.apply_async(_sign, (one,)) for one in islice(ends, 8))

        def chunks() -> Iterator[list[bytes]]:
            while waiting:
                chunk = waiting.popleft().get(timeout=120)
                waiting.extend(pool.apply_async(_sign, (one,)) for one in islice(ends, 1))
                yield chunk

        present(verifier, chunks(), stages)


if __name__ == "__main__":
    main()
