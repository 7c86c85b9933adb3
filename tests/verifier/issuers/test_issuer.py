from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from doorward import GOOGLE, IAP, ConfigurationError, Issuer, PrincipalKind, Verifier, firebase
from doorward.errors import ClaimError, Reason
from doorward.issuers.chat import chat_project_number
from doorward.issuers.claim_rule import refuse
from doorward.issuers.google import EMULATOR_VARIABLE, in_environment
from doorward.issuers.issuer import Identity
from doorward.issuers.self_signed import service_account_issuer
from doorward.keys.key import ALGORITHMS
from support.tokens import AUDIENCE, MEMBER, claims, header, signed
from support.world import World

ROBOT = "a@p.iam.gserviceaccount.com"
OWN: dict[str, Any] = {
    "name": "own",
    "iss_values": ("https://issuer.example",),
    "key_url": "https://issuer.example/jwks",
}


def test_google_is_what_cloud_run_accepts() -> None:
    assert ("https://accounts.google.com", "accounts.google.com") == GOOGLE.iss_values
    assert "https://www.googleapis.com/oauth2/v3/certs" == GOOGLE.key_url
    assert ("RS256",) == GOOGLE.algorithms
    assert 3600.0 == GOOGLE.max_lifetime
    assert not GOOGLE.audience_lists
    assert GOOGLE.google_accounts


def test_an_issuer_of_ones_own_vouches_for_no_google_account_by_default() -> None:
    assert not Issuer(**OWN).google_accounts
    assert not Issuer(**OWN).audience_lists
    assert ("RS256",) == Issuer(**OWN).algorithms


def test_what_an_issuer_shows_has_no_query_of_its_key_url_which_may_hold_a_secret() -> None:
    shown = repr(replace(Issuer(**OWN), key_url="https://issuer.example/jwks?key=made-up-secret"))

    assert "key_url='https://issuer.example/jwks?…'" in shown
    assert "made-up-secret" not in shown
    assert shown.startswith("Issuer(name='own', iss_values=('https://issuer.example',), ")


def test_an_issuer_is_read_only() -> None:
    with pytest.raises(FrozenInstanceError):
        GOOGLE.key_url = "https://evil.example"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"iss_values": ()}, "a tuple of strings"),
        ({"iss_values": "https://issuer.example"}, "a tuple of strings"),
        ({"iss_values": ("https://issuer.example", "")}, "a tuple of strings"),
        ({"iss_values": (7,)}, "a tuple of strings"),
        ({"algorithms": ()}, "RS256, ES256"),
        ({"algorithms": "RS256"}, "RS256, ES256"),
        ({"algorithms": ("HS256",)}, "RS256, ES256"),
        ({"algorithms": ("RS256", "none")}, "RS256, ES256"),
        ({"algorithms": ("PS256",)}, "RS256, ES256"),
        ({"algorithms": ("rs256",)}, "RS256, ES256"),
        ({"max_lifetime": 0}, "at most 86400 seconds"),
        ({"max_lifetime": -1}, "at most 86400 seconds"),
        ({"max_lifetime": 86_401}, "at most 86400 seconds"),
        ({"max_lifetime": float("nan")}, "at most 86400 seconds"),
        ({"key_url": "http://issuer.example/jwks"}, "https://"),
        ({"key_url": "file:///etc/passwd"}, "https://"),
        ({"key_url": "ftp://issuer.example/jwks"}, "https://"),
        ({"key_url": "/jwks"}, "https://"),
        ({"key_url": "https://user:pw@issuer.example/jwks"}, "https://"),
        ({"key_url": ""}, "https://"),
        ({"audiences": "own"}, "must be a tuple"),
        ({"audiences": ["own"]}, "must be a tuple"),
        ({"audiences": ("",)}, "an audience is needed"),
        ({"audiences": (7,)}, "an audience is needed"),
        ({"extra_rules": [print]}, "tuple of functions"),
        ({"extra_rules": ("rule",)}, "tuple of functions"),
    ],
    ids=repr,
)
def test_an_issuer_that_cannot_work_is_refused_with_what_would(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Issuer(**OWN | changed)


def test_only_two_algorithms_exist() -> None:
    assert {"RS256": "RSA", "ES256": "EC"} == dict(ALGORITHMS)


# The emulator.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8099",
        "localhost:8099",
        "[::1]:8099",
        "127.8.8.8:1",
        "127.255.255.255:65535",
        "127.0.0.1:10000",
    ],
)
def test_the_variable_points_google_at_an_emulator_of_this_machine(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "doorward"):
        issuer = in_environment(GOOGLE, {EMULATOR_VARIABLE: host})

    assert replace(GOOGLE, key_url=f"http://{host}/oauth2/v3/certs") == issuer
    assert ["WARNING"] == [record.levelname for record in caplog.records]
    assert host in caplog.text


@pytest.mark.parametrize(
    "host",
    [
        "",
        "8099",
        "127.0.0.1",
        "localhost",
        "evil.example:8099",
        "10.0.0.1:8099",
        "0.0.0.0:8099",
        "169.254.169.254:80",
        "localhost.evil.example:80",
        "127.0.0.1.evil.example:80",
        "http://127.0.0.1:8099",
        "127.0.0.1:8099/x",
        "127.0.0.1:8099?x",
        "127.0.0.1:8099#x",
        "evil.example@127.0.0.1:8099",
        "127.0.0.1:8099@evil.example",
        "127.0.0.1:8099@evil.example:80",
        "127.0.0.1:port",
        "127.0.0.1:99999",
        "127.0.0.1:8099\n",
        " 127.0.0.1:8099",
        "[::1:8099",
        "2130706433:80",
        "127.1:80",
        "127.0.0.1:8099\\@evil.example",
        "[::1].evil.example:80",
        "[::1]evil.example:80",
        "evil[::1]:80",
        "evil.example[::1]:80",
        "[[::1]]:80",
        "[::1%1]:80",
        "[::1",
        "[::1]",
        "[::1]:",
        "[::2]:80",
        "[::]:80",
        "[127.0.0.1]:80",
        "[localhost]:80",
        "::1:80",
        "127.0.0.1:0",
        "127.0.0.1:00",
        "127.0.0.1:080",
        "127.0.0.1:65536",
        "127.0.0.1:+80",
        "127.0.0.1:-80",
        "127.0.0.1:8_0",
        "127.0.0.1:8 0",
        "127.0.0.1: 80",
        "127.0.0.1:",
        "127.0.0.1:80:80",
        "127.0.0.1:\u0668\u0660",
        "127.0.0.\u0661:80",
        "127.0.0.\uff11:80",
        "127.0.0.\u00b9:80",
        "127\u30020.0.1:80",
        "127.0.0.1\uff1a80",
        "loc\u0430lhost:80",
        "127.0.0.1:80\u2028",
        "127.0.0.1:80\t",
        "127.0.0.1:80\r\n",
        "127.0.0.1:80\x00",
        "127.0.0.1\t:80",
        "127.0.0.256:80",
        "127.0.0.01:80",
        "127.0.0:80",
        "128.0.0.1:80",
        "user@localhost:80",
        "user:word@localhost:80",
        "localhost:80/",
        "localhost:80/oauth2",
        "localhost.:80",
        "evil.localhost:80",
        "localhostx:80",
        "xlocalhost:80",
        "127.0.0.1:80,evil.example",
        ":80",
    ],
    ids=repr,
)
def test_the_variable_may_name_nothing_but_a_port_of_this_machine(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"HOST:PORT.*such as 127\.0\.0\.1:8099"):
        in_environment(GOOGLE, {EMULATOR_VARIABLE: host})


@pytest.mark.parametrize("kind", ["K_SERVICE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL"])
@pytest.mark.parametrize("name", ["orders", ""], ids=["named", "empty"])
def test_the_variable_is_refused_in_every_kind_of_cloud_run_workload(name: str, kind: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{kind} is set too.*Remove the variable"):
        in_environment(GOOGLE, {EMULATOR_VARIABLE: "127.0.0.1:8099", kind: name})


def test_without_the_variable_google_is_google_on_cloud_run_too() -> None:
    assert GOOGLE is in_environment(GOOGLE, {"K_SERVICE": "orders"})
    assert GOOGLE is in_environment(GOOGLE, {})


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        (IAP, "/iap/verify/public_key-jwk"),
        (firebase("my-project"), "/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"),
        (service_account_issuer(ROBOT), f"/service_accounts/v1/jwk/{ROBOT}"),
        (chat_project_number(1), "/service_accounts/v1/metadata/x509/chat@system.gserviceaccount.com"),
    ],
    ids=["iap", "firebase", "service account", "chat"],
)
def test_the_variable_replaces_the_keys_of_every_issuer_that_google_publishes(
    issuer: Issuer, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = in_environment(issuer, {EMULATOR_VARIABLE: "127.0.0.1:8099"})

    assert replace(issuer, key_url=f"http://127.0.0.1:8099{path}") == found
    assert f"tokens of the issuer {issuer.name} are verified with the keys of the emulator" in caplog.text
    with pytest.raises(ConfigurationError, match="Remove the variable"):
        in_environment(issuer, {EMULATOR_VARIABLE: "127.0.0.1:8099", "K_SERVICE": "orders"})
    assert issuer is in_environment(issuer, {"K_SERVICE": "orders"})


@pytest.mark.parametrize(
    "url",
    [
        "https://www.googleapis.com.example/keys",
        "https://www.googleapis.com:444/keys",
        "http://localhost/keys",
    ],
)
def test_keys_that_are_published_elsewhere_stay_there(url: str) -> None:
    issuer = replace(GOOGLE, key_url=url)

    assert issuer is in_environment(issuer, {EMULATOR_VARIABLE: "127.0.0.1:8099"})


def test_the_variable_changes_no_other_issuer() -> None:
    own = Issuer(**OWN)

    assert own is in_environment(own, {EMULATOR_VARIABLE: "127.0.0.1:8099"})


def test_a_verifier_reads_the_environment_of_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(EMULATOR_VARIABLE, "127.0.0.1:8099")

    verifier = Verifier(AUDIENCE, issuers=(GOOGLE, Issuer(**OWN)))

    assert ["http://127.0.0.1:8099/oauth2/v3/certs", "https://issuer.example/jwks"] == [
        cache.url for cache in verifier.key_caches
    ]
    assert "emulator" in caplog.text


def test_a_verifier_on_cloud_run_does_not_start_with_the_variable_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(EMULATOR_VARIABLE, "127.0.0.1:8099")
    monkeypatch.setenv("K_SERVICE", "orders")

    with pytest.raises(ConfigurationError, match="Remove the variable"):
        Verifier(AUDIENCE)


# What an issuer brings with it.


def own(world: World, **changed: Any) -> str:
    return world.token(**{"iss": "https://issuer.example"} | changed)


def test_the_audience_of_an_issuer_takes_the_place_of_the_verifiers(world: World) -> None:
    issuer = Issuer(**OWN, audiences=("theirs", "also theirs"))
    verifier = world.verifier(AUDIENCE, issuers=[GOOGLE, issuer])

    assert MEMBER == verifier.verify(world.token()).member
    assert "https://issuer.example" == verifier.verify(own(world, aud="also theirs")).issuer
    for token in (own(world), world.token(aud="theirs")):
        with pytest.raises(ClaimError) as caught:
            verifier.verify(token)
        assert Reason.WRONG_AUDIENCE == caught.value.reason
    shown = f"Verifier(audience={AUDIENCE} or also theirs or theirs, issuers=[google, own])"
    assert shown == repr(verifier)


def test_where_every_issuer_brings_its_audience_none_is_given(world: World) -> None:
    issuer = Issuer(**OWN, audiences=("theirs",))

    verified = world.verifier(None, issuers=[issuer]).verify(own(world, aud="theirs"))
    assert "https://issuer.example" == verified.issuer
    with pytest.raises(ConfigurationError, match="leave it out"):
        Verifier(AUDIENCE, issuers=[issuer])
    with pytest.raises(ConfigurationError, match="an audience is needed"):
        Verifier(issuers=[GOOGLE, issuer])


def test_an_issuers_own_rules_come_after_those_for_all(world: World) -> None:
    asked: list[object] = []

    def only_admins(claims: Mapping[str, object], leeway: float, now: float) -> None:
        asked.append((leeway, now))
        if claims.get("role") != "admin":
            refuse(Reason.CLAIM_INVALID, "role", "not an admin")

    verifier = world.verifier(issuers=[GOOGLE, Issuer(**OWN, extra_rules=(only_admins,))])

    assert "admin" == verifier.verify(own(world, role="admin")).claims["role"]
    with pytest.raises(ClaimError) as caught:
        verifier.verify(own(world, role="user"))
    assert (Reason.CLAIM_INVALID, "role") == (caught.value.reason, caught.value.claim)
    before = len(asked)
    with pytest.raises(ClaimError):
        verifier.verify(own(world, aud="other"))
    assert MEMBER == verifier.verify(world.token()).member
    assert before == len(asked)
    assert {(30.0, world.clock.now)} == set(asked)


def test_a_subject_is_needed_unless_the_issuer_says_otherwise(world: World) -> None:
    bare = own(world, sub=None)

    assert world.verifier(issuers=[Issuer(**OWN, subject_optional=True)]).verify(bare).subject is None
    with pytest.raises(ClaimError):
        world.verifier(issuers=[Issuer(**OWN)]).verify(bare)


@pytest.mark.parametrize("sub", [b"null", b'""', b"0", b"false"])
def test_a_subject_that_may_be_missing_may_not_be_something_else(world: World, sub: bytes) -> None:
    payload = json.dumps(claims(world.clock.now, iss=OWN["iss_values"][0], sub="S")).encode()
    assert payload.count(b'"S"') == 1
    made = signed(world.key, header(world.key), payload.replace(b'"S"', sub))
    verifier = world.verifier(issuers=[Issuer(**OWN, subject_optional=True)])

    for _ in range(2):  # from cold, and by the quick look
        with pytest.raises(ClaimError) as caught:
            verifier.verify(made)
        assert "sub" == caught.value.claim
        verifier.verify(own(world, sub=None))


def test_an_external_identity_is_never_a_google_account_whatever_identify_says(world: World) -> None:
    generous = Identity("root@example.com", google_account=True, external=True, hosted_domain="example.com")
    verifier = world.verifier(issuers=[Issuer(**OWN, identify=lambda _: generous)])

    caller = verifier.verify(own(world))

    assert PrincipalKind.EXTERNAL == caller.kind
    assert (None, None, None, False) == (
        caller.member,
        caller.email,
        caller.hosted_domain,
        caller.google_account,
    )
