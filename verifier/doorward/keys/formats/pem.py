"""Reading the other form in which Google publishes keys: one PEM text for each key id.

``https://www.googleapis.com/oauth2/v1/certs`` and the endpoints of service accounts give X.509 certificates,
and the endpoint of Identity-Aware Proxy gives bare public keys. The signature of a certificate is not
checked: the key is believed because the endpoint sent it, over TLS. Reading a certificate takes far longer
than reading a JWK: use the JWK form where there is one.
"""

from __future__ import annotations

import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from doorward.keys.key import ALGORITHMS, NO_KEY_ID, VerificationKey, is_key_id, why_unfit

__all__ = ["is_private_pem", "read_pem"]

# One block and nothing around it (RFC 7468, section 3). Compiled on first use: few services need it.
_BLOCK: Final = r"-----BEGIN (CERTIFICATE|PUBLIC KEY)-----\r?\n[A-Za-z0-9+/=\r\n]+-----END \1-----"
_BLANK: Final = " \t\r\n"


def is_private_pem(text: object) -> bool:
    """Return whether a PEM text shows a private key.

    Args:
        text: One value of the document.
    """
    return isinstance(text, str) and "PRIVATE KEY" in text


def read_pem(  # noqa: PLR0911 - one return for each reason
    kid: str, text: object, algorithms: tuple[str, ...], wall: float
) -> VerificationKey | str:
    """Read one PEM text.

    Args:
        kid: The key id.
        text: An X.509 certificate or a public key.
        algorithms: What the issuer signs with, each a key of `ALGORITHMS`.
        wall: The time, in seconds since the epoch.

    Returns:
        The key; or why it is not used, as a sentence for the log.
    """
    if not is_key_id(kid):
        return NO_KEY_ID
    if not isinstance(text, str):
        return "not a text in PEM form"
    if text.count("-----BEGIN ") > 1:
        return "more than one block in PEM form: which one is meant is not known"
    block = re.fullmatch(_BLOCK, text.strip(_BLANK))
    key = None if block is None else _load(block[1], block[0].encode(), wall)
    if key is None:
        return "not a certificate or a public key in PEM form"
    if isinstance(key, str):
        return key
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        kty = "RSA" if isinstance(key, rsa.RSAPublicKey) else "EC"
        for alg in algorithms:
            if ALGORITHMS[alg] == kty:
                return why_unfit(key, alg) or VerificationKey(kid, alg, key)
    return f"of a type that {', '.join(algorithms)} cannot use"


def _load(label: str, block: bytes, wall: float) -> object:
    """Return the public key; a sentence if it must not be used, None if the text cannot be read."""
    # As slow to import as the rest of cryptography together, and needed for this form only.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        if label == "PUBLIC KEY":
            return load_pem_public_key(block)
        certificate = x509.load_pem_x509_certificate(block)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        # Both ends belong to the validity (RFC 5280, section 4.1.2.5).
        if not begin.timestamp() <= wall <= end.timestamp():
            return "a certificate that is not valid now"
        return certificate.public_key()
    except UnsupportedAlgorithm:
        return "of a type that is not supported"
    except (ValueError, x509.InvalidVersion, Warning):
        # A warning, where the process raises them as errors: it is about this key, and the others stay
        # usable.
        return None
