"""The tokens of ``tokens``: good ones of two sizes, and bad ones of each kind."""

from __future__ import annotations

import base64
import itertools
import json
import random
import string
import time
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from harness.tokens import Key, b64

__all__ = ["BAD", "COSTLY", "bad", "bare", "good", "signed_bytes"]

COUNT = 300
"""Distinct tokens of each kind: the number that can be verified in a row without a repetition."""

SIGNATURE = {"RS256": 342, "ES256": 86}
ALPHABET = string.ascii_letters + string.digits + "-_"
TINY = [f"{first}{second}" for first in ALPHABET for second in ALPHABET]
"""Names of members of seven bytes each, as in ``"ab":0,``."""

NOT_OVER = 16 * 1024 - 100
"""Bytes of a token just below the 16 KiB over which doorward refuses a token unread."""


def _filler(key: Key, size: int) -> int:
    """Return how long a claim must be for the whole token to have about that many bytes."""
    return (size - len(key.token())) * 3 // 4 - len(',"filler":""')


def good(key: Key, size: int = 0) -> list[str]:
    """Make good tokens, no two the same.

    Args:
        key: The key that signs them.
        size: Bytes of each; 0 for the size of Google's tokens.
    """
    filler = _filler(key, size) if size else 0
    return [key.token(number, filler=filler) for number in range(COUNT)]


def signed_bytes(token: str, alg: str) -> int:
    """Return how many bytes of a token its signature covers, whether it holds or not."""
    return len(token) - SIGNATURE[alg] - 1


def bare(key: Key, size: int) -> Callable[[int], float]:
    """Return the unit: the verification of a signature over that many bytes, with nothing around it.

    Args:
        key: The key that signs the messages.
        size: Bytes of each message.

    Returns:
        A function that does a number of verifications, and returns the seconds of one.
    """
    messages = [random.Random(number).randbytes(size) for number in range(64)]
    public, sha256 = key.public, SHA256()
    scheme: tuple[object, ...]
    if isinstance(public, rsa.RSAPublicKey):
        pairs = [(key.sign(message), message) for message in messages]
        scheme = (padding.PKCS1v15(), sha256)
    else:
        signatures = [key.sign(message) for message in messages]
        encoded = [encode_dss_signature(*map(int.from_bytes, (one[:32], one[32:]))) for one in signatures]
        pairs = list(zip(encoded, messages, strict=True))
        scheme = (ec.ECDSA(sha256),)
    verify: Callable[..., None] = public.verify

    def repeat(calls: int) -> float:
        batch = list(itertools.islice(itertools.cycle(pairs), calls))
        began = time.perf_counter()
        for signature, message in batch:
            verify(signature, message, *scheme)
        return (time.perf_counter() - began) / calls

    return repeat


# Bad tokens: one generator for each kind.


def _spoiled(token: str) -> str:
    """Change the last byte of the signature."""
    signing_input, _, signature = token.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[-1] ^= 1
    return f"{signing_input}.{b64(bytes(raw))}"


def _tiny_members(size: int) -> dict[str, Any]:
    return dict.fromkeys(TINY[: size // len('"ab":0,')], 0)


def _expired(key: Key) -> Iterator[str]:
    now = int(time.time())
    return (key.token(number, iat=now - 7200, exp=now - 3600) for number in itertools.count())


def _forged(key: Key, size: int = 0) -> Iterator[str]:
    filler = _filler(key, size) if size else 0
    return (_spoiled(key.token(number, filler=filler)) for number in itertools.count())


def _other_audience(key: Key) -> Iterator[str]:
    return (key.token(number, aud="https://other.example.com") for number in itertools.count())


def _unknown_key(key: Key) -> Iterator[str]:
    """Name a key that is not published, and sign with it: some contenders check the signature alone."""
    other, chance = Key(key.alg), random.Random(1)
    return (other.token(number, kid=chance.randbytes(20).hex()) for number in itertools.count())


def _garbage(*lengths: int) -> Iterator[str]:
    chance = random.Random(2)
    while True:
        yield ".".join("".join(chance.choices(ALPHABET, k=length)) for length in lengths)


def _costly_claims(key: Key) -> Iterator[str]:
    room = (NOT_OVER - len(key.token())) * 3 // 4
    return (_spoiled(key.token(number, **_tiny_members(room))) for number in itertools.count())


def _costly_header(key: Key) -> Iterator[str]:
    return (_under_another_header(key, number, **_tiny_members(2048)) for number in itertools.count())


def _under_another_header(key: Key, number: int, **parameters: object) -> str:
    """Replace the header of a signed token, whose signature does not hold then."""
    header = {"alg": key.alg, "kid": key.kid, "typ": "JWT", "n": number, **parameters}
    head = b64(json.dumps(header, separators=(",", ":")).encode())
    return f"{head}.{key.token(number).partition('.')[2]}"


def _escapes_in_header(key: Key) -> Iterator[str]:
    texts = dict.fromkeys(TINY[:6], "\u1234" * 13)
    return (_under_another_header(key, number, **texts) for number in itertools.count())


def _nested_header(key: Key) -> Iterator[str]:
    nested: dict[str, Any] = {"a": {"a": {"a": {"a": {}}}}}
    return (_under_another_header(key, number, **nested) for number in itertools.count())


def _claims_looked_at(key: Key) -> Iterator[str]:
    """Make tokens with as many and as long claims as are read before a signature is checked."""
    texts = dict.fromkeys(TINY[:14], "a" * 20)
    return (_spoiled(key.token(number, **texts)) for number in itertools.count())


def _other_audience_escaped(key: Key) -> Iterator[str]:
    return (key.token(number, aud="https://other.example.com/\n") for number in itertools.count())


def _other_audience_long(key: Key) -> Iterator[str]:
    return (key.token(number, aud=f"https://other.example.com/{'a' * 600}") for number in itertools.count())


BAD: dict[str, Callable[[Key], Iterator[str]]] = {
    "expired": _expired,
    "bad signature": _forged,
    "another audience": _other_audience,
    "unknown key id": _unknown_key,
    "garbage": lambda _: _garbage(600),
    "garbage in three segments": lambda key: _garbage(110, 400, SIGNATURE[key.alg]),
    "17 KiB, bad signature": lambda key: _forged(key, 17 * 1024),
    "15.9 KiB, bad signature": lambda key: _forged(key, NOT_OVER),
    "16 KiB of tiny claims, bad signature": _costly_claims,
    "2 KiB of tiny header parameters, bad signature": _costly_header,
}
"""The kinds, by what is wrong with the token."""


COSTLY: dict[str, tuple[int, Callable[[Key], Iterator[str]]]] = {
    "bad signature": (1, _forged),
    "bad signature, header of 700 bytes with escapes": (1, _escapes_in_header),
    "bad signature, nested header": (1, _nested_header),
    "bad signature, as many claims as are looked at": (1, _claims_looked_at),
    "bad signature, two issuers": (2, _forged),
    "bad signature, two issuers, as many claims as are looked at": (2, _claims_looked_at),
    "signed, another audience, with an escape": (1, _other_audience_escaped),
    "signed, another audience, longer than what is looked at": (1, _other_audience_long),
}
"""The costliest kinds that were found for doorward: the number of accepted issuers, and the generator."""


def bad(kind: str, key: Key) -> list[str]:
    """Make bad tokens of one kind, no two the same."""
    made = BAD[kind] if kind in BAD else COSTLY[kind][1]
    return list(itertools.islice(made(key), COUNT))
