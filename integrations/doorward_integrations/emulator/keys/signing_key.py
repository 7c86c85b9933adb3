"""One key of an emulated issuer: how it signs, and the forms in which it is published and kept."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

__all__ = ["SigningKey", "b64"]

_BITS: Final = 2_048
_EXPONENT: Final = 65_537
_COORDINATE: Final = 32
_KID_LENGTH: Final = {"RS256": 40, "ES256": 6}
_SUBJECT: Final = "doorward emulator, not Google"

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def b64(raw: bytes) -> str:
    """Encode as base64url without padding (RFC 7515, section 2).

    Args:
        raw: The bytes.
    """
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _number(value: int, length: int | None = None) -> str:
    """Encode an unsigned integer, in the fewest bytes by default (RFC 7518, section 2, Base64urlUInt)."""
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8))


class SigningKey:
    """An RSA-2048 key that signs with RS256, or a P-256 key that signs with ES256.

    Attributes:
        kid: Its id, which follows from the public key: 40 hexadecimal digits as those of Google's RSA keys,
            6 for ES256.
        algorithm: ``RS256`` or ``ES256``.
        made_at: When it was made, in seconds since the epoch.
    """

    kid: str
    algorithm: str
    made_at: float

    def __init__(self, private: Private | None = None, *, clock: Callable[[], float] = time.time) -> None:
        """Make a key.

        Args:
            private: The RSA or P-256 key to use; a new RSA key by default, which takes some 50 to 100 ms.
            clock: Returns the time in seconds since the epoch, from which the certificate is valid.
        """
        self._private: Final = rsa.generate_private_key(_EXPONENT, _BITS) if private is None else private
        self.made_at = clock()
        self.algorithm = "RS256" if isinstance(self._private, rsa.RSAPrivateKey) else "ES256"
        public = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.kid = hashlib.sha256(public).hexdigest()[: _KID_LENGTH[self.algorithm]]

    @classmethod
    def es256(cls, *, clock: Callable[[], float] = time.time) -> SigningKey:
        """Make a new P-256 key.

        Args:
            clock: As for `SigningKey`.

        Returns:
            The key.
        """
        return cls(ec.generate_private_key(ec.SECP256R1()), clock=clock)

    @classmethod
    def from_pem(cls, pem: str, *, made_at: float) -> SigningKey:
        """Return the key that `private_pem` has written.

        Args:
            pem: The private key, PKCS #8 in PEM, not encrypted.
            made_at: When it was made, in seconds since the epoch.

        Returns:
            The key.

        Raises:
            ValueError: If it is no such key.
        """
        private = load_pem_private_key(pem.encode(), None)
        if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == "secp256r1":
            return cls(private, clock=lambda: made_at)
        if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= _BITS:
            return cls(private, clock=lambda: made_at)
        raise ValueError("it is neither RSA of 2048 bits or more, nor P-256")

    def __repr__(self) -> str:
        """Show the id only."""
        return f"SigningKey(kid={self.kid!r})"

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """Sign a token; header and claims are not checked.

        Args:
            header: The JOSE header.
            claims: The payload.

        Returns:
            A compact JWS with a signature of the key's algorithm (RFC 7518, sections 3.3 and 3.4).
        """
        parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
        signing_input = ".".join(map(b64, parts))
        return f"{signing_input}.{b64(self.sign_bytes(signing_input.encode('ascii')))}"

    def sign_bytes(self, signed: bytes) -> bytes:
        """Sign bytes.

        Args:
            signed: The bytes.

        Returns:
            The signature, as a JWS has it (RFC 7518, sections 3.3 and 3.4).
        """
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(signed, padding.PKCS1v15(), SHA256())
        numbers = decode_dss_signature(self._private.sign(signed, ec.ECDSA(SHA256())))
        return b"".join(number.to_bytes(_COORDINATE) for number in numbers)

    def jwk(self) -> dict[str, str]:
        """Return the public key as Google's key endpoints publish it.

        Returns:
            A JWK (RFC 7517): with the members kid, e, alg, n, kty and use, or for ES256 alg, crv, kid, kty,
            use, x and y.
        """
        if isinstance(self._private, rsa.RSAPrivateKey):
            rsa_numbers = self._private.public_key().public_numbers()
            return {
                "kid": self.kid,
                "e": _number(rsa_numbers.e),
                "alg": "RS256",
                "n": _number(rsa_numbers.n),
                "kty": "RSA",
                "use": "sig",
            }
        numbers = self._private.public_key().public_numbers()
        return {
            "alg": "ES256",
            "crv": "P-256",
            "kid": self.kid,
            "kty": "EC",
            "use": "sig",
            "x": _number(numbers.x, _COORDINATE),
            "y": _number(numbers.y, _COORDINATE),
        }

    @property
    def public_pem(self) -> str:
        """The public key in PEM, the form that ``/iap/verify/public_key`` has."""
        public = self._private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    @property
    def private_pem(self) -> str:
        """The private key, PKCS #8 in PEM, not encrypted: for the state of an emulator."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")

    @functools.cached_property
    def certificate(self) -> str:
        """The public key in a self-signed X.509 certificate, PEM, the form that ``/oauth2/v1/certs`` has."""
        from cryptography import x509  # noqa: PLC0415 - takes a tenth of the emulator's start, for what few ask for

        made = datetime.fromtimestamp(self.made_at, tz=UTC)
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, _SUBJECT)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._private.public_key())
            # Of the key, so that a restarted emulator publishes the same certificate: at most 156 bits.
            .serial_number(int(f"1{self.kid}"[:39], 16))
            # A day early, since the verifier's clock may be behind.
            .not_valid_before(made - timedelta(days=1))
            .not_valid_after(made + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._private, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode("ascii")
