"""Signing keys, and tokens made to order: good ones, and every kind of bad one."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

AUDIENCE = "https://orders-1234567890.europe-west1.run.app"
CALLER = "caller@doorward-test.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{CALLER}"
SUBJECT = "112233445566778899001"


def b64(raw: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int, length: int | None = None) -> str:
    """Encode an unsigned integer as a JWK does."""
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8))


@functools.cache
def rsa_key(name: str, bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """Make the RSA key of that name; the same one each time, since making one is slow."""
    del name
    return rsa.generate_private_key(exponent, bits)


@functools.cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Make the P-256 key of that name; the same one each time."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


class SigningKey:
    """A key that signs tokens, and publishes itself as a JWK."""

    def __init__(self, kid: str, alg: str = "RS256", name: str | None = None) -> None:
        self.kid = kid
        self.alg = alg
        self.private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
        self.private = rsa_key(name or kid) if alg == "RS256" else ec_key(name or kid)

    def jwk(self, **changed: Any) -> dict[str, Any]:
        """Give the public JWK, members changed as asked; None takes a member out."""
        jwk: dict[str, Any] = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if isinstance(self.private, rsa.RSAPrivateKey):
            rsa_numbers = self.private.public_key().public_numbers()
            jwk |= {"kty": "RSA", "n": number(rsa_numbers.n), "e": number(rsa_numbers.e)}
        else:
            ec_numbers = self.private.public_key().public_numbers()
            jwk |= {"kty": "EC", "crv": "P-256", "x": number(ec_numbers.x, 32), "y": number(ec_numbers.y, 32)}
        jwk |= changed
        return {name: value for name, value in jwk.items() if value is not None}

    def sign(self, signing_input: bytes) -> bytes:
        """Sign as RFC 7518 says."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(signing_input, padding.PKCS1v15(), SHA256())
        r, s = decode_dss_signature(self.private.sign(signing_input, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


def jwks(*keys: SigningKey | Mapping[str, Any]) -> bytes:
    """Give the JWK Set document of some keys."""
    return json.dumps({"keys": [key.jwk() if isinstance(key, SigningKey) else key for key in keys]}).encode()


def claims(now: float, **changed: Any) -> dict[str, Any]:
    """Give the claims of a service account's token, as Google makes them; None takes a claim out."""
    made: dict[str, Any] = {
        "aud": AUDIENCE,
        "azp": SUBJECT,
        "email": CALLER,
        "email_verified": True,
        "exp": int(now) + 3600,
        "iat": int(now),
        "iss": "https://accounts.google.com",
        "sub": SUBJECT,
    }
    made |= changed
    return {name: value for name, value in made.items() if value is not None}


def header(key: SigningKey, **changed: Any) -> dict[str, Any]:
    """Give the header of a token, as Google makes it; None takes a parameter out."""
    made: dict[str, Any] = {"alg": key.alg, "kid": key.kid, "typ": "JWT"} | changed
    return {name: value for name, value in made.items() if value is not None}


def signed(key: SigningKey, head: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes) -> str:
    """Sign any header over any payload, given as objects or as raw bytes."""
    raw = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (head, payload))
    signing_input = ".".join(map(b64, raw))
    return f"{signing_input}.{b64(key.sign(signing_input.encode()))}"


def token(key: SigningKey, now: float, **changed: Any) -> str:
    """Make the token of a service account, claims changed as asked."""
    return signed(key, header(key), claims(now, **changed))
