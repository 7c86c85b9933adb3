"""One's own issuer, found by its address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from doorward import ConfigurationError, FetchError
from doorward.issuers.discovery import discover
from doorward.keys.fetch import FetchResponse, HttpxFetch
from support.tokens import AUDIENCE, SUBJECT
from support.world import World

ISSUER = "https://login.example.com"
KEYS = "https://keys.example.com/jwks"


def document(**changed: Any) -> dict[str, Any]:
    made = {
        "issuer": ISSUER,
        "jwks_uri": KEYS,
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none", "PS256"],
        "token_endpoint": "https://login.example.com/token",
    } | changed
    return {name: value for name, value in made.items() if value is not None}


class WellKnown:
    """An issuer without a network: answers with one document, and keeps the URLs it was asked for."""

    def __init__(self, body: bytes | Mapping[str, Any] | Exception | None = None) -> None:
        self.body = document() if body is None else body
        self.urls: list[str] = []

    def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        self.urls.append(url)
        if isinstance(self.body, Exception):
            raise self.body
        return FetchResponse(self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode())


def test_an_issuer_is_found_by_its_address() -> None:
    fetch = WellKnown()

    found = discover(ISSUER, fetch=fetch)

    assert [f"{ISSUER}/.well-known/openid-configuration"] == fetch.urls
    assert ((ISSUER,), KEYS, ("RS256", "ES256")) == (found.iss_values, found.key_url, found.algorithms)
    assert (ISSUER, False, 3600.0) == (found.name, found.audience_lists, found.max_lifetime)
    assert not found.google_accounts


def test_settings_reach_the_issuer() -> None:
    found = discover(
        ISSUER,
        algorithms=("ES256",),
        audience_lists=True,
        max_lifetime=600,
        name="login",
        fetch=WellKnown(),
    )

    assert (("ES256",), True, 600, "login") == (
        found.algorithms,
        found.audience_lists,
        found.max_lifetime,
        found.name,
    )


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://login.example.com/", "https://login.example.com/.well-known/openid-configuration"),
        ("https://login.example.com/t/1", "https://login.example.com/t/1/.well-known/openid-configuration"),
        ("https://login.example.com/t/1/", "https://login.example.com/t/1/.well-known/openid-configuration"),
        ("http://127.0.0.1:8099", "http://127.0.0.1:8099/.well-known/openid-configuration"),
    ],
)
def test_the_document_stands_below_the_identifier(issuer: str, url: str) -> None:
    fetch = WellKnown(document(issuer=issuer))

    assert (issuer,) == discover(issuer, fetch=fetch).iss_values
    assert [url] == fetch.urls


@pytest.mark.parametrize(
    "other",
    [
        "https://login.example.com/",
        "https://login.example.co",
        "https://LOGIN.example.com",
        "http://login.example.com",
        "https://accounts.google.com",
        "",
        None,
        7,
        [ISSUER],
        {ISSUER: 1},
    ],
    ids=repr,
)
def test_a_document_about_another_issuer_is_refused(other: object) -> None:
    with pytest.raises(ConfigurationError, match="about another issuer"):
        discover(ISSUER, fetch=WellKnown(document(issuer=other)))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"jwks_uri": None}, "names no 'jwks_uri'"),
        ({"jwks_uri": 7}, "names no 'jwks_uri'"),
        ({"jwks_uri": "http://keys.example.com/jwks"}, "not https"),
        ({"jwks_uri": "http://127.0.0.1:8099/jwks"}, "not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "not https"),
        ({"jwks_uri": "/jwks"}, "not https"),
        ({"jwks_uri": ""}, "not https"),
        ({"jwks_uri": "https://user:pw@keys.example.com/"}, "user or a password"),
        ({"jwks_uri": "https://keys.example.com/#x"}, "key URL"),
        ({"id_token_signing_alg_values_supported": None}, "does not say"),
        ({"id_token_signing_alg_values_supported": "RS256"}, "does not say"),
        ({"id_token_signing_alg_values_supported": [256]}, "does not say"),
        ({"id_token_signing_alg_values_supported": []}, "would do"),
        ({"id_token_signing_alg_values_supported": ["none", "HS256", "PS256", "rs256"]}, "would do"),
    ],
    ids=str,
)
def test_a_document_that_leads_nowhere_safe_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        discover(ISSUER, fetch=WellKnown(document(**changed)))


@pytest.mark.parametrize("url", ["http://keys.example/jwks", "https://keys.example/a b"])
def test_no_error_shows_the_query_of_a_key_url(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        discover(ISSUER, fetch=WellKnown(document(jwks_uri=f"{url}?key=made-up-secret")))
    assert "made-up-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"issuer": "https://login.example.com", "issuer": "https://login.example.com"}',
        b"\xff",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(ConfigurationError, match="not usable JSON"):
        discover(ISSUER, fetch=WellKnown(body))


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "login.example.com",
        "http://login.example.com",
        "https://user:pw@login.example.com",
        "https://login.example.com?x",
        "https://login.example.com#x",
        "https://login.example.com/ x",
        "ftp://login.example.com",
        7,
    ],
    ids=repr,
)
def test_what_is_no_identifier_is_refused_unasked(issuer: Any) -> None:
    fetch = WellKnown()

    with pytest.raises(ConfigurationError):
        discover(issuer, fetch=fetch)
    assert [] == fetch.urls


@pytest.mark.parametrize("algorithms", ["RS256", ("HS256",), ("none",), ("RS256", "PS256"), ()], ids=repr)
def test_only_known_algorithms_can_be_asked_for(algorithms: Any) -> None:
    with pytest.raises(ConfigurationError, match="a tuple out of RS256, ES256"):
        discover(ISSUER, algorithms=algorithms, fetch=WellKnown())


def test_an_algorithm_that_the_issuer_does_not_have_is_not_waited_for() -> None:
    fetch = WellKnown(document(id_token_signing_alg_values_supported=["RS256"]))

    with pytest.raises(ConfigurationError, match="ES256 would do"):
        discover(ISSUER, algorithms=("ES256",), fetch=fetch)


def test_a_document_that_is_not_to_be_had_is_no_mistake_of_configuration() -> None:
    with pytest.raises(FetchError, match="connection refused"):
        discover(ISSUER, fetch=WellKnown(FetchError("connect", "connection refused")))


@pytest.mark.parametrize(
    ("response", "stage"),
    [
        (httpx.Response(302, headers={"location": "https://evil.example/"}), "status"),
        (httpx.Response(404), "status"),
        (httpx.Response(200, content=b" " * 2_000), "size"),
    ],
    ids=["redirect", "missing", "too large"],
)
def test_the_bounds_of_a_fetch_hold_here_too(response: httpx.Response, stage: str) -> None:
    fetch = HttpxFetch(limit=1_000, transport=lambda: httpx.MockTransport(lambda _: response))

    with pytest.raises(FetchError) as caught:
        discover(ISSUER, fetch=fetch)
    assert stage == caught.value.stage


def test_a_token_of_what_was_found_is_verified(world: World) -> None:
    issuer = discover(ISSUER, audience_lists=True, fetch=WellKnown())

    caller = world.verifier(issuers=[issuer]).verify(world.token(iss=ISSUER, aud=["other", AUDIENCE]))

    assert (ISSUER, SUBJECT, None) == (caller.issuer, caller.subject, caller.member)


HOST = "127.0.0.1:8099"
EMULATED = f"http://{HOST}/doorward/v1/oidc/https%3A%2F%2Flogin.example.com"


def test_an_emulator_stands_in_for_an_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", HOST)
    fetch = WellKnown(document(jwks_uri=f"{EMULATED}/jwks"))
    found = discover(ISSUER, fetch=fetch)

    assert [f"{EMULATED}/.well-known/openid-configuration"] == fetch.urls
    assert ((ISSUER,), f"{EMULATED}/jwks") == (found.iss_values, found.key_url)


def test_an_issuer_on_this_machine_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", HOST)
    own = "http://localhost:8080"
    fetch = WellKnown(document(issuer=own, jwks_uri=f"{own}/jwks"))

    assert f"{own}/jwks" == discover(own, fetch=fetch).key_url


@pytest.mark.parametrize("keys", [KEYS, "http://127.0.0.1:80990/jwks", "http://127.0.0.1:8098/jwks"])
def test_an_emulator_leads_to_no_keys_but_its_own(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", HOST)

    with pytest.raises(ConfigurationError, match="keys that are not the emulator's"):
        discover(ISSUER, fetch=WellKnown(document(jwks_uri=keys)))


def test_no_issuer_is_asked_of_an_emulator_on_cloud_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", HOST)
    monkeypatch.setenv("K_SERVICE", "orders")
    fetch = WellKnown()

    with pytest.raises(ConfigurationError, match="Remove the variable"):
        discover(ISSUER, fetch=fetch)
    assert [] == fetch.urls
