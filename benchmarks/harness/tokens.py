"""Keys and tokens for the contenders: the same tokens for all of them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

__all__ = ["AUDIENCE", "CALLER", "ISSUER", "Key", "b64"]

AUDIENCE = "https://orders-1234567890.europe-west1.run.app"
ISSUER = "https://accounts.google.com"
CALLER = "caller@doorward-bench.iam.gserviceaccount.com"
SUBJECT = "112233445566778899001"


def b64(raw: bytes) -> str:
    """Encode as base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


class Key:
    """A key that signs tokens as Google's do: RSA-2048 for RS256, P-256 for ES256."""

    def __init__(self, alg: str = "RS256", kid: str = "0123456789abcdef0123456789abcdef01234567") -> None:
        self.alg = alg
        self.kid = kid
        self.private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
            rsa.generate_private_key(65537, 2048)
            if alg == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )

    @property
    def public(self) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        return self.private.public_key()

    @property
    def jwk(self) -> dict[str, str]:
        """The public key, as a JWKS endpoint publishes it (RFC 7517, section 4)."""
        jwk = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if isinstance(self.private, rsa.RSAPrivateKey):
            numbers = self.private.public_key().public_numbers()
            return jwk | {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        point = self.private.public_key().public_numbers()
        x, y = (b64(one.to_bytes(32)) for one in (point.x, point.y))
        return jwk | {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    @property
    def jwks(self) -> bytes:
        """The body of its endpoint: the whole key set."""
        return json.dumps({"keys": [self.jwk]}).encode()

    def sign(self, signing_input: bytes) -> bytes:
        """Sign as RFC 7518 says, sections 3.3 and 3.4."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(signing_input, padding.PKCS1v15(), SHA256())
        r, s = decode_dss_signature(self.private.sign(signing_input, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def token(self, number: int = 0, *, kid: str | None = None, filler: int = 0, **changed: object) -> str:
        """Make a token of a service account, in the form of Google's.

        Args:
            number: Makes one token differ from another.
            kid: A key id other than that of the key.
            filler: Bytes of a claim without meaning, for a large token.
            changed: Claims to set; None removes a claim.
        """
        now = int(time.time())
        claims: dict[str, Any] = {
            "aud": AUDIENCE,
            "azp": str(int(SUBJECT) + number),
            "email": CALLER,
            "email_verified": True,
            "exp": now + 3600,
            "iat": now,
            "iss": ISSUER,
            "sub": SUBJECT,
        }
        if filler:
            claims["filler"] = "x" * filler
        claims |= changed
        claims = {name: value for name, value in claims.items() if value is not None}
        return self.signed({"alg": self.alg, "kid": kid or self.kid, "typ": "JWT"}, claims)

    def signed(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Sign any header over any claims, both as compact JSON."""
        parts = (b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        signing_input = ".".join(parts)
        return f"{signing_input}.{b64(self.sign(signing_input.encode()))}"
