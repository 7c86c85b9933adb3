"""One RSA key of the emulated issuer: how it signs, and the two forms in which it is published."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

__all__ = ["SigningKey"]

_BITS: Final = 2_048
_EXPONENT: Final = 65_537
_KID_LENGTH: Final = 40
_SUBJECT: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "doorward emulator, not Google")])


def _b64(raw: bytes) -> str:
    """Encode as base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _number(value: int) -> str:
    """Encode an unsigned integer in the fewest bytes (RFC 7518, section 2, Base64urlUInt)."""
    return _b64(value.to_bytes((value.bit_length() + 7) // 8))


class SigningKey:
    """An RSA-2048 key that signs with RS256.

    Attributes:
        kid: Its id, 40 hexadecimal digits as Google's are; follows from the public key.
    """

    kid: str

    def __init__(
        self, private: rsa.RSAPrivateKey | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Make a key.

        Args:
            private: The RSA key to use; a new one by default, which takes some 50 to 100 ms.
            clock: Returns the time in seconds since the epoch, from which the certificate is valid.
        """
        self._private = rsa.generate_private_key(_EXPONENT, _BITS) if private is None else private
        self._made = clock()
        public = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.kid = hashlib.sha256(public).hexdigest()[:_KID_LENGTH]

    def __repr__(self) -> str:
        """Show the id only."""
        return f"SigningKey(kid={self.kid!r})"

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """Sign a token; header and claims are not checked.

        Args:
            header: The JOSE header.
            claims: The payload.

        Returns:
            A compact JWS with an RS256 signature (RFC 7518, section 3.3).
        """
        parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
        signing_input = ".".join(map(_b64, parts))
        signature = self._private.sign(signing_input.encode("ascii"), padding.PKCS1v15(), SHA256())
        return f"{signing_input}.{_b64(signature)}"

    def jwk(self) -> dict[str, str]:
        """Return the public key in the form that Google's ``/oauth2/v3/certs`` has.

        Returns:
            A JWK (RFC 7517) with the members kid, e, alg, n, kty and use.
        """
        numbers = self._private.public_key().public_numbers()
        return {
            "kid": self.kid,
            "e": _number(numbers.e),
            "alg": "RS256",
            "n": _number(numbers.n),
            "kty": "RSA",
            "use": "sig",
        }

    @functools.cached_property
    def certificate(self) -> str:
        """The public key in a self-signed X.509 certificate, PEM, the form that ``/oauth2/v1/certs`` has."""
        made = datetime.fromtimestamp(self._made, tz=UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_SUBJECT)
            .issuer_name(_SUBJECT)
            .public_key(self._private.public_key())
            .serial_number(x509.random_serial_number())
            # A day early, since the verifier's clock may be behind.
            .not_valid_before(made - timedelta(days=1))
            .not_valid_after(made + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._private, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode("ascii")
