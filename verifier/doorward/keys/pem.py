"""The other form in which Google publishes keys: one PEM text for each key id.

``https://www.googleapis.com/oauth2/v1/certs`` and the service accounts' endpoints give X.509 certificates,
Identity-Aware Proxy's gives bare public keys. A certificate is only an envelope here: what vouches for the
key is the endpoint, over TLS. Reading one costs far more than reading a JWK; take the JWK form where there is
one.
"""

from __future__ import annotations

from typing import Final

from doorward.keys.key import NO_KEY_ID, VerificationKey, is_key_id, why_unfit

__all__ = ["is_private_pem", "read_pem"]

_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_PUBLIC_KEY: Final = "-----BEGIN PUBLIC KEY-----"


def is_private_pem(text: object) -> bool:
    """Tell whether a PEM text shows a private key.

    Args:
        text: One value of the document.
    """
    return isinstance(text, str) and "PRIVATE KEY-----" in text


def read_pem(kid: str, text: object, algorithms: tuple[str, ...], wall: float) -> VerificationKey | str:
    """Read one PEM text.

    Args:
        kid: The key id it stands under.
        text: An X.509 certificate or a public key.
        algorithms: What the issuer signs with, each a key of `ALGORITHMS`.
        wall: The time, in seconds since the epoch.

    Returns:
        The key; or a sentence that says why it is not used.
    """
    if not is_key_id(kid):
        return NO_KEY_ID
    if not isinstance(text, str):
        return "not a text in PEM form"
    try:
        key = _load(text.strip(), wall)
    except ValueError:
        return "not a certificate or a public key in PEM form"
    if isinstance(key, str):
        return key
    unfit = "no algorithm"
    for alg in algorithms:
        unfit_for = why_unfit(key, alg)
        if unfit_for is None:
            return VerificationKey(kid, alg, key)  # type: ignore[arg-type]  # fit: it is of the right type
        unfit = unfit_for
    return unfit


def _load(text: str, wall: float) -> object:
    # As slow to import as the rest of cryptography together, and only this form needs them.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    if text.startswith(_PUBLIC_KEY):
        return load_pem_public_key(text.encode())
    if not text.startswith(_CERTIFICATE):
        raise ValueError(text[:0])
    certificate = x509.load_pem_x509_certificate(text.encode())
    if not certificate.not_valid_before_utc.timestamp() <= wall < certificate.not_valid_after_utc.timestamp():
        return "a certificate that is not valid now"
    return certificate.public_key()
