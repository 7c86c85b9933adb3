"""A contender: how its verifier is made, and the check that it refuses bad tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from harness.tokens import Key

__all__ = ["Contender", "Given", "Verify", "accepted", "certificate", "same", "specimens"]

Verify = Callable[[str], object]
"""Verifies one token, and raises if it refuses. The result must be awaited if `Contender.awaited` is set."""

Call = Callable[[Coroutine[Any, Any, object]], object]


@dataclass(frozen=True)
class Given:
    """One key, and where it is published.

    Attributes:
        key: The key that signs.
        jwks_url: A key endpoint on loopback that publishes it as a JWK.
        certificates_url: One that publishes it as a certificate, the form that Google's libraries read.
        certificates: The answer of that endpoint: certificates by key id.
    """

    key: Key
    jwks_url: str
    certificates_url: str
    certificates: Mapping[str, str]

    @property
    def pem(self) -> str:
        return self.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate(key: Key) -> str:
    """Make a self-signed certificate of a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys.example.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public, x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=15))
        .sign(key.private, SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True)
class Contender:
    """A library, or one way to use it, that verifies tokens.

    Attributes:
        name: Its row.
        prepare: Prepares it, and returns the maker of a verifier that holds its keys and has seen no token.
        note: What a reader must know of its figures.
        awaited: Whether the result of its verifier must be awaited.
        missing: Why it cannot take part in this environment; empty if it can.
    """

    name: str
    prepare: Callable[[Given], Callable[[], Verify]]
    note: str = ""
    awaited: bool = False
    missing: str = ""


def same(verify: Verify) -> Callable[[], Verify]:
    """Return the maker of a verifier that caches no token, so that one instance serves every sample."""
    return lambda: verify


def specimens(key: Key) -> dict[str, str]:
    """Return one good token and several bad ones, by what is wrong with them."""
    now = int(time.time())
    return {
        "good": key.token(),
        "a bad signature": Key(key.alg, key.kid).token(),
        "an expired token": key.token(iat=now - 7200, exp=now - 3600),
        "another audience": key.token(aud="https://other.example.com"),
        "another issuer": key.token(iss="https://issuer.example.com"),
        "no expiry": key.token(exp=None),
        "no audience": key.token(aud=None),
        "no issuer": key.token(iss=None),
    }


def accepted(contender: Contender, given: Given, call: Call) -> list[str]:
    """Return which of the specimens a contender accepts; it should be the good one alone.

    Args:
        contender: The contender.
        given: The key, and where it is published.
        call: Runs the coroutine of a contender that is awaited.
    """
    verify = contender.prepare(given)()
    found = []
    for what, token in specimens(given.key).items():
        try:
            result = verify(token)
            if contender.awaited:
                call(cast("Coroutine[Any, Any, object]", result))
        except Exception:  # noqa: BLE001 - any error of a contender is its refusal
            continue
        found.append(what)
    return found
