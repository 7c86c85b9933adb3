"""The authority of a day: what its certificates are good for, by OpenSSL's own judgement."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from doorward_integrations.emulator.intercept import GOOGLE_HOSTS, Authority
from support.clock import ManualClock


def handshake(authority: Authority, host: str, *, asked: str | None = None) -> None:
    """Connect to a host of the authority, as a client that trusts it and nothing else."""
    client = ssl.create_default_context(cadata=authority.certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    there, here = socket.socketpair()

    def serve() -> None:
        try:
            with authority.context(host).wrap_socket(there, server_side=True) as served:
                served.recv(1)
        except OSError:
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with here, client.wrap_socket(here, server_hostname=asked or host) as connected:
            connected.sendall(b".")
    finally:
        here.close()
        thread.join()


@pytest.mark.parametrize("host", [*sorted(GOOGLE_HOSTS), "europe-west1-run.googleapis.com"])
def test_a_strict_client_believes_each_host_of_the_list(host: str) -> None:
    handshake(Authority(), host)


@pytest.mark.parametrize(
    "host", ["example.com", "googleapis.com.example.com", "mail.google.com", "127.0.0.1"]
)
def test_even_the_authority_s_own_key_makes_no_site_outside_of_its_domains_believed(host: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(Authority(), host)


def test_a_certificate_is_for_its_own_host_only() -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(Authority(), "oauth2.googleapis.com", asked="www.googleapis.com")


def test_another_authority_is_not_believed() -> None:
    authority, other = Authority(), Authority()
    client = ssl.create_default_context(cadata=other.certificate)

    assert authority.certificate != other.certificate
    assert 1 == len(client.get_ca_certs())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(Mixed(authority, other), "oauth2.googleapis.com")


class Mixed(Authority):
    """Serves with one authority, and has clients trust another."""

    def __init__(self, served: Authority, trusted: Authority) -> None:
        self._served, self._trusted = served, trusted

    @property
    def certificate(self) -> str:
        return self._trusted.certificate

    def context(self, host: str) -> ssl.SSLContext:
        return self._served.context(host)


def test_it_is_for_a_day_and_says_so_critically() -> None:
    certificate = x509.load_pem_x509_certificate(Authority().certificate.encode())
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)

    assert (
        timedelta(days=1)
        <= certificate.not_valid_after_utc - certificate.not_valid_before_utc
        <= timedelta(days=1, minutes=5)
    )
    assert constraints.critical
    assert basic.critical
    assert (True, 0) == (basic.value.ca, basic.value.path_length)
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert isinstance(certificate.signature_hash_algorithm, SHA256)


@pytest.mark.parametrize(("jump", "valid"), [(0, True), (86_399, True), (86_400, False), (-3_600, False)])
def test_when_the_clock_leaves_that_day_it_is_no_longer_valid(jump: float, valid: bool) -> None:  # noqa: FBT001
    clock = ManualClock()
    authority = Authority(clock=clock)
    clock.move(jump)

    assert valid is authority.is_valid


def test_no_private_key_stays_in_a_file_or_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    authority = Authority()
    authority.context("oauth2.googleapis.com")

    assert [] == list(tmp_path.iterdir())
    assert "PRIVATE" not in authority.certificate
    assert repr(authority).startswith("Authority(until=")


def test_a_certificate_is_made_once_for_each_host() -> None:
    authority = Authority()

    assert authority.context("run.googleapis.com") is authority.context("run.googleapis.com")
    assert authority.context("run.googleapis.com") is not authority.context("sts.googleapis.com")
