"""The public half of a key, in the forms in which it is used and published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from doorward.keys.key import VerificationKey
from doorward_integrations.emulator.keys.signing_key import SigningKey

__all__ = ["PublicKey"]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key.

    Attributes:
        verification: Verifies signatures of it.
        jwk: It as a JWK (RFC 7517).
        certificate: It in a self-signed X.509 certificate, PEM.
    """

    verification: VerificationKey
    jwk: Mapping[str, str]
    certificate: str

    @classmethod
    def of(cls, private: rsa.RSAPrivateKey, clock: Callable[[], float]) -> PublicKey:
        """Return the public half of a private key.

        Args:
            private: The key.
            clock: Returns the time in seconds since the epoch, from which the certificate is valid.
        """
        key = SigningKey(private, clock=clock)
        return cls(VerificationKey(key.kid, "RS256", private.public_key()), key.jwk(), key.certificate)

    @property
    def kid(self) -> str:
        """Its id."""
        return self.verification.kid
