"""An authority that lives for a day, in memory, and for Google's names only."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from doorward.forks import renew_in_children
from doorward_integrations.emulator.intercept.hosts import PERMITTED_DOMAINS

__all__ = ["Authority"]

_DAY: Final = timedelta(days=1)
# The verifier's clock may be behind.
_EARLY: Final = timedelta(minutes=5)
_SUBJECT: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "doorward emulator, not Google")])
_EVERY_ADDRESS: Final = ("0.0.0.0/0", "::/0")
_KEY_USES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _usage(allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name == allowed for name in _KEY_USES})


class Authority:
    """Signs server certificates for the names in `PERMITTED_DOMAINS`, and for no others.

    Its key is made with it, is kept in memory only, and goes with it. Its certificate says critically that it
    is for servers of these domains (RFC 5280, section 4.2.1.10), so that even its key would be of no use
    for another site. It is valid for a day.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Make an authority.

        Args:
            clock: Returns the time in seconds since the epoch, from which it is valid for a day.
        """
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._begin = datetime.fromtimestamp(clock(), tz=UTC) - _EARLY
        self._end = self._begin + _EARLY + _DAY
        self._certificate = self._sign_own()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._renew_lock()
        renew_in_children(self, Authority._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show until when it is valid, and nothing of its key."""
        return f"Authority(until={self._end:%Y-%m-%dT%H:%M:%SZ})"

    @property
    def certificate(self) -> str:
        """Its certificate, PEM: what clients are to trust."""
        return self._certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def is_valid(self) -> bool:
        """Whether its certificate is valid now: not so a day later, or when the clock was set."""
        return self._begin <= datetime.fromtimestamp(self._clock(), tz=UTC) < self._end

    def context(self, host: str) -> ssl.SSLContext:
        """Return the server side of TLS for a host; its certificate is made when it is first asked for.

        Args:
            host: The name of the host.
        """
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._make_context(host)
            return self._contexts[host]

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_SUBJECT)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )

    def _sign_own(self) -> x509.Certificate:
        # A constraint binds only the kinds of names that it mentions: addresses are excluded one and all.
        constraints = x509.NameConstraints(
            permitted_subtrees=[x509.DNSName(domain) for domain in PERMITTED_DOMAINS],
            excluded_subtrees=[x509.IPAddress(ipaddress.ip_network(one)) for one in _EVERY_ADDRESS],
        )
        return (
            self._builder(_SUBJECT, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage("key_cert_sign"), critical=True)
            .add_extension(constraints, critical=True)
            .sign(self._key, SHA256())
        )

    def _make_context(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            # Critical, since there is no subject beside it (RFC 5280, section 4.2.1.6).
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
            .sign(self._key, SHA256())
        )
        password = secrets.token_bytes(32)
        encrypted = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.hex().encode())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # OpenSSL reads keys from files only, so for that moment it is in one, encrypted, with a password that
        # stays in memory.
        descriptor, path = tempfile.mkstemp(suffix=".pem")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(certificate.public_bytes(Encoding.PEM) + encrypted)
            context.load_cert_chain(path, password=password.hex())
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()
        return context
