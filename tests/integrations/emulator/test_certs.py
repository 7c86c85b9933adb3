"""The key endpoints over HTTP: what they answer, and how they fail while they are taken down."""

from __future__ import annotations

import httpx
import pytest

from doorward import ConfigurationError, KeysUnavailableError, Verifier
from doorward_integrations.emulator import DEFAULT_ACCOUNT, CertsEndpoint, Emulator
from support.clock import ManualClock
from support.tokens import AUDIENCE

V1 = "/oauth2/v1/certs"
V3 = "/oauth2/v3/certs"
EITHER = pytest.mark.parametrize("path", [V1, V3])


def test_the_keys_are_served_in_both_forms(emulator: Emulator, client: httpx.Client) -> None:
    assert emulator.issuer.jwks() == client.get(V3).json()
    assert emulator.issuer.certificates() == client.get(V1).json()


@EITHER
def test_an_answer_says_how_long_it_may_be_kept(path: str, emulator: Emulator, client: httpx.Client) -> None:
    first = client.get(path)
    emulator.certs.max_age = 0

    assert "application/json; charset=UTF-8" == first.headers["content-type"]
    assert "public, max-age=600, must-revalidate, no-transform" == first.headers["cache-control"]
    assert "Mon, 21 Sep 2026 14:23:20 GMT" == first.headers["expires"]
    assert "Origin, X-Origin, Referer" == first.headers["vary"]
    assert "public, max-age=0, must-revalidate, no-transform" == client.get(path).headers["cache-control"]


@EITHER
@pytest.mark.parametrize("condition", ["{}", "W/{}", '"other", {}', "*"])
def test_keys_that_have_not_changed_are_not_sent_again(
    condition: str, path: str, client: httpx.Client
) -> None:
    etag = client.get(path).headers["etag"]
    again = client.get(path, headers={"if-none-match": condition.format(etag)})

    assert 304 == again.status_code
    assert b"" == again.content
    assert [etag, "public, max-age=600, must-revalidate, no-transform"] == [
        again.headers["etag"],
        again.headers["cache-control"],
    ]


@EITHER
def test_keys_that_have_changed_are_sent(path: str, emulator: Emulator, client: httpx.Client) -> None:
    etag = client.get(path).headers["etag"]
    emulator.issuer.rotate()
    again = client.get(path, headers={"if-none-match": etag})

    assert 200 == again.status_code
    assert etag != again.headers["etag"]
    assert emulator.issuer.current.kid in again.text


@EITHER
def test_an_endpoint_that_is_down_answers_503_until_it_is_up(
    path: str, emulator: Emulator, client: httpx.Client
) -> None:
    certs = emulator.certs
    certs.take_down()
    assert not certs.is_up
    assert 503 == client.get(path).status_code
    certs.bring_up()
    assert certs.is_up
    assert 200 == client.get(path).status_code


def test_every_request_for_keys_is_counted_and_no_other(emulator: Emulator, client: httpx.Client) -> None:
    certs = emulator.certs
    etag = client.get(V3).headers["etag"]
    client.get(V1)
    client.get(V3, headers={"if-none-match": etag})
    certs.take_down()
    client.get(V3)
    client.get("/")
    client.get("/.well-known/openid-configuration")

    assert 4 == certs.fetches
    assert "CertsEndpoint(is_up=False, fetches=4, max_age=600)" == repr(certs)


def test_the_discovery_document_leads_to_the_keys_at_the_host_that_was_asked(
    emulator: Emulator, client: httpx.Client
) -> None:
    path = "/.well-known/openid-configuration?a=b"
    document = client.get(path).json()
    elsewhere = client.get(path, headers={"host": "metadata.google.internal:8099"}).json()

    assert "https://accounts.google.com" == document["issuer"]
    assert ["RS256"] == document["id_token_signing_alg_values_supported"]
    assert "http://metadata.google.internal:8099/oauth2/v3/certs" == elsewhere["jwks_uri"]
    assert emulator.issuer.jwks() == client.get(document["jwks_uri"]).json()


def test_keys_cannot_be_kept_for_less_than_no_time() -> None:
    with pytest.raises(ConfigurationError, match="max_age=-1"):
        Emulator(max_age=-1)


def test_an_endpoint_can_stand_without_an_emulator(emulator: Emulator) -> None:
    assert [V3, V1, "/.well-known/openid-configuration"] == [
        route.path for route in CertsEndpoint(emulator.issuer).routes()
    ]


def test_a_verifier_in_the_environment_of_an_emulator_takes_its_keys_from_it(
    emulator: Emulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with emulator.serve() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        verifier = Verifier(AUDIENCE, clock=clock)

        assert f"serviceAccount:{DEFAULT_ACCOUNT}" == verifier.verify(emulator.issuer.mint(AUDIENCE)).member
        assert 1 == emulator.certs.fetches


def test_a_verifier_whose_emulator_is_down_cannot_know(
    emulator: Emulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.certs.take_down()
    with emulator.serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        verifier = Verifier(AUDIENCE, clock=clock)

        with pytest.raises(KeysUnavailableError):
            verifier.verify(emulator.issuer.mint(AUDIENCE))
