"""The proxy: it leads to the emulator, and nowhere else."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl

import httpx
import pytest

from doorward_integrations.emulator import RunningEmulator
from doorward_integrations.emulator.intercept import GOOGLE_HOSTS, Authority, Intercept, InterceptingProxy
from doorward_integrations.emulator.intercept.hosts import is_google_host
from support.clock import ManualClock
from support.commands import is_free

FLAVOR = {"Metadata-Flavor": "Google"}
SECONDS = 20


def client_of(intercept: Intercept) -> httpx.Client:
    variables = intercept.environment()
    trusted = ssl.create_default_context(cafile=variables["SSL_CERT_FILE"])
    return httpx.Client(proxy=variables["HTTPS_PROXY"], verify=trusted, trust_env=False, timeout=SECONDS)


def answered(intercept: Intercept, *parts: bytes) -> bytes:
    """Send bytes to the proxy, and return all that it answers."""
    _, _, port = intercept.environment()["HTTPS_PROXY"].rpartition(":")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=SECONDS) as connection:
        for part in parts:
            connection.sendall(part)
        seen = b""
        while chunk := connection.recv(65_536):
            seen += chunk
    return seen


@pytest.mark.parametrize(
    ("host", "path"), [(host, path) for host, paths in GOOGLE_HOSTS.items() for path in paths]
)
def test_each_host_answers_the_paths_that_the_list_says(host: str, path: str, intercept: Intercept) -> None:
    with client_of(intercept) as client:
        assert 200 == client.get(f"https://{host}{path}").status_code


def test_an_answer_is_the_emulator_s_own_also_for_a_connection_that_stays_open(
    running: RunningEmulator, intercept: Intercept
) -> None:
    direct = httpx.get(f"{running.url}/oauth2/v3/certs", trust_env=False).json()
    with client_of(intercept) as client:
        answers = [client.get("https://www.googleapis.com/oauth2/v3/certs") for _ in range(3)]

    assert [direct] * 3 == [one.json() for one in answers]


def test_what_a_host_says_of_itself_is_under_https(intercept: Intercept) -> None:
    with client_of(intercept) as client:
        found = client.get("https://accounts.google.com/.well-known/openid-configuration").json()
        assert 200 == client.get(found["jwks_uri"]).status_code

    assert found["jwks_uri"].startswith("https://")


def test_the_metadata_server_answers_over_plain_http_by_its_names(intercept: Intercept) -> None:
    path = "/computeMetadata/v1/project/project-id"
    with client_of(intercept) as client:
        for host in (
            "metadata.google.internal",
            "metadata",
            "169.254.169.254",
            "metadata.google.internal:80",
        ):
            assert "doorward-demo" == client.get(f"http://{host}{path}", headers=FLAVOR).text
            assert 403 == client.get(f"http://{host}{path}").status_code


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://storage.googleapis.com/",
        "https://evil-run.googleapis.com.example.com/",
        "https://www.googleapis.com:8443/",
        "https://127.0.0.1/",
        "https://metadata.google.internal/",
    ],
)
def test_every_other_host_is_refused_by_name(
    url: str, intercept: Intercept, caplog: pytest.LogCaptureFixture
) -> None:
    name = url.removeprefix("https://").removesuffix("/")
    name = name if name.endswith(":8443") else f"{name}:443"
    with client_of(intercept) as client:
        for _ in range(2):
            with pytest.raises(httpx.ProxyError, match="403"):
                client.get(url)

    assert {name: 2} == intercept.refused
    assert 1 == sum(name in one.getMessage() for one in caplog.records)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://www.googleapis.com/oauth2/v3/certs",
        "http://127.0.0.1:1/",
        "http://metadata:81/",
    ],
)
def test_over_plain_http_all_but_the_metadata_server_is_refused(url: str, intercept: Intercept) -> None:
    with client_of(intercept) as client:
        answer = client.get(url)

    assert 403 == answer.status_code
    assert "is refused" in answer.text
    assert 1 == len(intercept.refused)


@pytest.mark.parametrize("host", ["[::1]", "::1", "127.0.0.1", "a_b", "2130706433"])
def test_so_is_every_form_of_an_address(host: str, intercept: Intercept) -> None:
    assert answered(intercept, f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode()).startswith(b"HTTP/1.1 403 ")
    assert {f"{host}:443": 1} == intercept.refused


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"CONNECT www.googleapis.com HTTP/1.1\r\n\r\n",
        b"CONNECT www.googleapis.com:443 HTTP/2.0\r\n\r\n",
        b"CONNECT www.googleapis.com:443\r\n\r\n",
        b"CONNECT a@www.googleapis.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT www.googleapis.com\n:443 HTTP/1.1\r\n\r\n",
        b"CONNECT \xc3\xa4.googleapis.com:443 HTTP/1.1\r\n\r\n",
        b"GET ftp://metadata/ HTTP/1.1\r\n\r\n",
        b"GET http://metadata/a b HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_what_asks_for_no_host_is_a_bad_request(head: bytes, intercept: Intercept) -> None:
    assert answered(intercept, head).startswith(b"HTTP/1.1 400 ")
    assert {} == intercept.refused


def test_a_head_without_end_is_given_up(intercept: Intercept) -> None:
    assert b"" == answered(intercept, b"CONNECT a", b"a" * 32_761)


def test_of_many_names_that_are_refused_the_first_are_counted_one_by_one(
    intercept: Intercept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward_integrations.emulator.intercept.proxy._MOST_NAMES", 2)
    for number in range(4):
        answered(intercept, f"CONNECT h{number}.example:443 HTTP/1.1\r\n\r\n".encode())

    assert {"h0.example:443": 1, "h1.example:443": 1, "others": 2} == intercept.refused


def test_a_client_that_does_not_trust_the_authority_says_nothing_to_it(intercept: Intercept) -> None:
    proxy = intercept.environment()["HTTPS_PROXY"]
    with (
        httpx.Client(proxy=proxy, trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get("https://www.googleapis.com/oauth2/v3/certs")
    with client_of(intercept) as other:
        assert 200 == other.get("https://www.googleapis.com/oauth2/v3/certs").status_code


def test_when_the_clock_leaves_the_day_that_is_said_and_nothing_is_answered(
    running: RunningEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    with Intercept(running, clock=clock) as intercept:
        clock.move(2 * 86_400)
        answer = answered(intercept, b"CONNECT www.googleapis.com:443 HTTP/1.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert "start again" in caplog.text


def test_google_s_names_are_answered_only_while_it_is_open(running: RunningEmulator) -> None:
    def asked() -> int:
        headers = {"Host": "www.googleapis.com"}
        return httpx.get(f"{running.url}/oauth2/v3/certs", headers=headers, trust_env=False).status_code

    before = asked()
    with Intercept(running):
        within = asked()

    assert [403, 200, 403] == [before, within, asked()]


def test_while_it_is_open_no_further_name_is_answered(running: RunningEmulator, intercept: Intercept) -> None:
    for host in (
        "evil.example",
        "googleapis.com",
        "www.googleapis.com.evil.example",
        "storage.googleapis.com",
    ):
        answer = httpx.get(f"{running.url}/oauth2/v3/certs", headers={"Host": host}, trust_env=False)
        assert 403 == answer.status_code


def test_its_end_leaves_no_port_no_connection_and_no_file(running: RunningEmulator) -> None:
    with Intercept(running) as intercept:
        variables = intercept.environment()
        bundle = intercept.bundle
        assert "PRIVATE" not in bundle.read_text()
        client = client_of(intercept).__enter__()
        assert 200 == client.get("https://www.googleapis.com/oauth2/v3/certs").status_code
    with contextlib.closing(client), pytest.raises(httpx.TransportError):
        client.get("https://www.googleapis.com/oauth2/v3/certs")

    assert is_free(variables["HTTPS_PROXY"].removeprefix("http://"))
    assert not bundle.parent.exists()
    with pytest.raises(RuntimeError, match="with statement"):
        intercept.environment()


def test_it_cannot_be_opened_twice_and_can_be_opened_again(running: RunningEmulator) -> None:
    proxy = InterceptingProxy(running.host, Authority())
    with proxy, pytest.raises(RuntimeError, match="is running already"):
        proxy.__enter__()
    with proxy:
        assert proxy.url.startswith("http://127.0.0.1:")

    assert "stopped" in repr(proxy)


def test_the_variables_replace_what_would_lead_past_the_proxy(intercept: Intercept) -> None:
    variables = intercept.environment()

    assert {"127.0.0.1,localhost,::1"} == {variables["NO_PROXY"], variables["no_proxy"]}
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        assert variables[name] == variables[name.lower()]
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE"):
        assert str(intercept.bundle) == variables[name]
    assert str(intercept.bundle) == variables["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("oauth2.googleapis.com", True),
        ("OAuth2.GoogleAPIs.com.", True),
        ("us-central1-run.googleapis.com", True),
        ("northamerica-northeast1-run.googleapis.com", True),
        ("-run.googleapis.com", False),
        ("a.b-run.googleapis.com", False),
        ("us-central1-run.googleapis.com.evil.example", False),
        ("googleapis.com", False),
        ("", False),
    ],
)
def test_the_list_is_closed(name: str, known: bool) -> None:  # noqa: FBT001 - a column
    assert known is is_google_host(name)


def test_no_line_of_the_log_holds_what_a_client_sends_to_google(
    intercept: Intercept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="doorward")
    with client_of(intercept) as client:
        headers = {"Authorization": "Bearer secret-of-the-client"}
        client.post("https://oauth2.googleapis.com/nothing", content="secret-of-the-client", headers=headers)

    assert "secret" not in caplog.text
