"""What a contender is: how its verifier is made, and the proof that it refuses what it must."""

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

__all__ = ["Contender", "Given", "Verify", "certificate", "let_through", "same", "specimens"]

Verify = Callable[[str], object]
"""Verifies one token: raises if it refuses. What it returns must be awaited where the contender says so."""

Call = Callable[[Coroutine[Any, Any, object]], object]


@dataclass(frozen=True)
class Given:
    """What contenders are made for: one key, and where it is published.

    Attributes:
        key: The key that signs.
        jwks_url: A key endpoint on loopback that publishes it as a JWK.
        certificates_url: One that publishes it as a certificate, as Google's libraries look for it.
        certificates: What that one says: certificates, by key id.
    """

    key: Key
    jwks_url: str
    certificates_url: str
    certificates: Mapping[str, str]

    @property
    def pem(self) -> str:
        return self.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate(key: Key) -> str:
    """Make a certificate for a key, signed by itself."""
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
    """One who verifies tokens.

    Attributes:
        name: Its row.
        prepare: Makes it ready, and gives what makes a verifier that holds its keys and has seen no token.
        note: What must be known to read its figures.
        awaited: Whether what its verifier returns must be awaited.
        missing: Why it cannot take part here, if it cannot.
    """

    name: str
    prepare: Callable[[Given], Callable[[], Verify]]
    note: str = ""
    awaited: bool = False
    missing: str = ""


def same(verify: Verify) -> Callable[[], Verify]:
    """Give the verifier of a contender that remembers no token: any time is the first."""
    return lambda: verify


def specimens(key: Key) -> dict[str, str]:
    """Give one good token, and some that each are bad in one way."""
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


def let_through(contender: Contender, given: Given, call: Call) -> list[str]:
    """Give which of the specimens a contender lets through; it should be the good one alone."""
    verify = contender.prepare(given)()
    passed = []
    for what, token in specimens(given.key).items():
        try:
            found = verify(token)
            if contender.awaited:
                call(cast("Coroutine[Any, Any, object]", found))
        except Exception:  # noqa: BLE001 - whatever a contender raises is its refusal
            continue
        passed.append(what)
    return passed
