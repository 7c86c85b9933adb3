"""Which URLs are fetched at all."""

from __future__ import annotations

import socket
from typing import NoReturn

import pytest

from doorward.errors import ConfigurationError
from doorward.keys.fetch import HttpxFetch
from doorward.keys.http.urls import check_key_url


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count every look-up, and let none out."""
    asked: list[object] = []

    def look_up(*args: object, **_: object) -> NoReturn:
        asked.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


BAD_URLS = {
    "http-elsewhere": "http://www.googleapis.com/oauth2/v3/certs",
    "http-private": "http://10.0.0.1/certs",
    "http-unspecified": "http://0.0.0.0/certs",
    "http-metadata": "http://169.254.169.254/certs",
    "http-like-localhost": "http://localhost.example.com/certs",
    "http-under-localhost": "http://evil.localhost/certs",
    "http-short-loopback": "http://127.1/certs",
    "http-number": "http://2130706433/certs",
    "http-hex": "http://0x7f000001/certs",
    "http-escaped": "http://local%68ost/certs",
    "http-unspecified-v6": "http://[::]/certs",
    "http-mapped": "http://[::ffff:127.0.0.1]/certs",
    "http-dot-at-the-end": "http://localhost./certs",
    "http-leading-zero": "http://127.0.0.01/certs",
    "http-octal": "http://0177.0.0.1/certs",
    "http-wide-digits": "http://１２７.0.0.1/certs",  # noqa: RUF001 - digits that are not an address
    "http-port-0": "http://127.0.0.1:0/certs",
    "http-behind-brackets": "http://[::1].evil.example/certs",
    "http-before-brackets": "http://evil.example[::1]/certs",
    "http-behind-brackets-and-port": "http://[::1].evil.example:80/certs",
    "behind-brackets": "https://[::1].keys.example/certs",
    "before-brackets": "https://keys.example[::1]/certs",
    "zone": "https://[fe80::1%25eth0]/certs",
    "backslash": "https://keys.example\\.evil.example/certs",
    "http-backslash": "http://127.0.0.1\\.example.com/certs",
    "file": "file:///etc/passwd",
    "ftp": "ftp://keys.example/certs",
    "data": "data:application/json,{}",
    "scheme-less": "//keys.example/certs",
    "host-only": "keys.example/certs",
    "path-only": "/certs",
    "no-host": "https:///certs",
    "no-host-but-port": "https://:443/certs",
    "empty": "",
    "fragment": "https://keys.example/certs#keys",
    "bad-port": "https://keys.example:port/certs",
    "huge-port": "https://keys.example:65536/certs",
    "bad-bracket": "https://[::1/certs",
    "bad-address": "https://[keys]/certs",
    "newline": "https://keys.example/certs\n",
    "newline-inside": "https://keys.exa\nmple/certs",
    "tab": "https://keys\t.example/certs",
    "nul": "https://keys.example/\0certs",
    "space": "https://keys.example/c erts",
    "space-before": " https://keys.example/certs",
}

CREDENTIAL_URLS = {
    "user": "https://user@keys.example/certs",
    "password": "https://user:hunter2@keys.example/certs",
    "empty-user": "https://@keys.example/certs",
    "only-password": "https://:hunter2@keys.example/certs",
    "loopback": "http://user:hunter2@127.0.0.1/certs",
    "in-front-of-host": "http://127.0.0.1@keys.example/certs",
}


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_a_url_that_could_be_tampered_with_is_refused_before_any_network(
    no_network: list[object], url: str
) -> None:
    with pytest.raises(ConfigurationError, match="key URL"):
        check_key_url(url)
    with pytest.raises(ConfigurationError, match="key URL"):
        HttpxFetch()(url, {})
    assert [] == no_network


@pytest.mark.parametrize("url", CREDENTIAL_URLS.values(), ids=CREDENTIAL_URLS)
def test_a_url_with_credentials_is_refused_and_not_repeated(no_network: list[object], url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpxFetch()(url, {})

    assert "the key URL carries a user or a password; write https://HOST/PATH" == str(caught.value)
    assert [] == no_network


@pytest.mark.parametrize(
    "url",
    [
        "https://www.googleapis.com/oauth2/v3/certs",
        "HTTPS://www.googleapis.com/oauth2/v3/certs",
        "https://keys.example:8443/certs?version=3",
        "https://10.0.0.1/certs",
        "https://[2001:db8::1]/certs",
        "https://keys.example",
        "http://localhost:8080/certs",
        "http://LOCALHOST/certs",
        "http://127.0.0.1:9099/certs",
        "http://127.9.9.9/certs",
        "http://[::1]:9099/certs",
    ],
)
def test_an_acceptable_url_comes_back_as_it_was(url: str) -> None:
    assert url == check_key_url(url)
