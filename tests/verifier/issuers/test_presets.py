"""Firebase, Google Chat, and service accounts that sign for themselves."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from doorward import GOOGLE, ConfigurationError, InvokerPolicy, Issuer, PrincipalKind, RefusedError, Verifier
from doorward.errors import Reason
from doorward.explain.token import Outcome, explain_token
from doorward.issuers.chat import CHAT_ACCOUNT, chat_project_number, is_google_chat
from doorward.issuers.claim_rule import refuse
from doorward.issuers.firebase import firebase
from doorward.issuers.issuer import Identity
from doorward.issuers.self_signed import service_account_issuer
from doorward.policy.request import ANYWHERE
from support.tokens import AUDIENCE, CALLER, MEMBER, SigningKey
from support.world import World

PROJECT = "my-project-1a2b3"
Make = Callable[..., str]


def refused(verifier: Verifier, token: str) -> tuple[Reason, str | None]:
    with pytest.raises(RefusedError) as caught:
        verifier.verify(token)
    return caught.value.reason, caught.value.claim


# Firebase.


@pytest.fixture
def user(world: World) -> Make:
    """Make tokens of a Firebase user."""

    def make(**changed: Any) -> str:
        own = {
            "iss": f"https://securetoken.google.com/{PROJECT}",
            "aud": PROJECT,
            "sub": "uid-1",
            "auth_time": int(world.clock.now) - 60,
            "azp": None,
            "email": "jane@example.com",
        }
        return world.token(**own | changed)

    return make


def test_firebase_is_known_by_its_project() -> None:
    issuer = firebase(PROJECT)

    assert (f"https://securetoken.google.com/{PROJECT}",) == issuer.iss_values
    assert (
        "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
        == issuer.key_url
    )
    assert (("RS256",), (PROJECT,), False) == (issuer.algorithms, issuer.audiences, issuer.google_accounts)


def test_a_user_of_firebase_is_no_google_account(world: World, user: Make) -> None:
    caller = world.verifier(None, issuers=[firebase(PROJECT)]).verify(user())

    assert ("uid-1", "jane@example.com", None) == (caller.subject, caller.email, caller.member)
    assert PrincipalKind.ACCOUNT == caller.kind
    assert not caller.google_account
    everyone = InvokerPolicy.from_members(
        ["allAuthenticatedUsers", "user:jane@example.com", "domain:example.com"]
    )
    assert not everyone.decide(caller, ANYWHERE, world.clock.now).granted


@pytest.mark.parametrize(
    ("changed", "reason", "claim"),
    [
        ({"aud": AUDIENCE}, Reason.WRONG_AUDIENCE, "aud"),
        ({"aud": "other-project"}, Reason.WRONG_AUDIENCE, "aud"),
        ({"aud": [PROJECT]}, Reason.CLAIM_INVALID, "aud"),
        ({"iss": "https://securetoken.google.com/other-project"}, Reason.WRONG_ISSUER, "iss"),
        ({"iss": "https://accounts.google.com"}, Reason.WRONG_ISSUER, "iss"),
        ({"iss": f"https://session.firebase.google.com/{PROJECT}"}, Reason.WRONG_ISSUER, "iss"),
        ({"sub": ""}, Reason.CLAIM_INVALID, "sub"),
        ({"sub": None}, Reason.CLAIM_MISSING, "sub"),
        ({"sub": "u" * 129}, Reason.CLAIM_INVALID, "sub"),
        ({"auth_time": None}, Reason.CLAIM_MISSING, "auth_time"),
        ({"auth_time": "1"}, Reason.CLAIM_INVALID, "auth_time"),
        ({"auth_time": 1_790_000_031}, Reason.NOT_YET_VALID, "auth_time"),
    ],
    ids=str,
)
def test_what_firebase_would_not_say_is_refused(
    world: World, user: Make, changed: dict[str, Any], reason: Reason, claim: str
) -> None:
    assert (reason, claim) == refused(world.verifier(None, issuers=[firebase(PROJECT)]), user(**changed))


def test_the_longest_subject_and_the_latest_sign_in_are_accepted(world: World, user: Make) -> None:
    verifier = world.verifier(None, issuers=[firebase(PROJECT)])

    assert "u" * 128 == verifier.verify(user(sub="u" * 128)).subject
    assert "uid-1" == verifier.verify(user(auth_time=1_790_000_030)).subject


def test_its_audience_is_good_for_its_own_tokens_only(world: World, user: Make) -> None:
    verifier = world.verifier(AUDIENCE, issuers=[GOOGLE, firebase(PROJECT)])

    assert MEMBER == verifier.verify(world.token()).member
    assert "uid-1" == verifier.verify(user()).subject
    assert (Reason.WRONG_AUDIENCE, "aud") == refused(verifier, world.token(aud=PROJECT))
    assert (Reason.WRONG_AUDIENCE, "aud") == refused(verifier, user(aud=AUDIENCE))


@pytest.mark.parametrize(
    "project", ["", "p", "My-Project", "my project", "my-project/../x", "my-project-", 7, None]
)
def test_what_is_no_project_is_refused(project: Any) -> None:
    with pytest.raises(ConfigurationError, match="Firebase project"):
        firebase(project)


# A service account's own tokens.


def own(world: World, **changed: Any) -> str:
    bare = {"iss": CALLER, "sub": CALLER, "email": None, "email_verified": None, "azp": None}
    return world.token(**bare | changed)


def test_a_service_account_signs_for_itself(world: World) -> None:
    issuer = service_account_issuer(CALLER)

    caller = world.verifier(issuers=[issuer]).verify(own(world))

    assert f"https://www.googleapis.com/service_accounts/v1/jwk/{CALLER}" == issuer.key_url
    assert (PrincipalKind.SERVICE_ACCOUNT, MEMBER, CALLER) == (caller.kind, caller.member, caller.email)
    assert InvokerPolicy.from_members([MEMBER]).decide(caller, ANYWHERE, world.clock.now).granted


def test_what_it_says_of_itself_beyond_its_name_is_not_believed(world: World) -> None:
    forged = {
        "email": "root@example.com",
        "email_verified": True,
        "hd": "example.com",
        "google": {"compute_engine": {"project_id": "other"}},
    }

    caller = world.verifier(issuers=[service_account_issuer(CALLER)]).verify(own(world, **forged))

    assert (MEMBER, CALLER, None) == (caller.member, caller.email, caller.hosted_domain)
    assert caller.compute_engine is None
    others = InvokerPolicy.from_members(["user:root@example.com", "domain:example.com"])
    assert not others.decide(caller, ANYWHERE, world.clock.now).granted


@pytest.mark.parametrize(
    ("changed", "reason", "claim"),
    [
        ({"sub": "112233445566778899001"}, Reason.CLAIM_INVALID, "sub"),
        ({"sub": None}, Reason.CLAIM_MISSING, "sub"),
        ({"iss": "other@doorward-test.iam.gserviceaccount.com"}, Reason.WRONG_ISSUER, "iss"),
        ({"aud": "https://pubsub.googleapis.com/"}, Reason.WRONG_AUDIENCE, "aud"),
        ({"exp": 1_790_000_000 + 7200}, Reason.LIFETIME_TOO_LONG, "exp"),
    ],
    ids=str,
)
def test_a_token_of_its_own_keeps_the_rules(
    world: World, changed: dict[str, Any], reason: Reason, claim: str
) -> None:
    verifier = world.verifier(issuers=[service_account_issuer(CALLER)])

    assert (reason, claim) == refused(verifier, own(world, **changed))


@pytest.mark.parametrize(
    "email",
    [
        "",
        "jane@example.com",
        CALLER.upper(),
        f"{CALLER}.evil.example",
        f"x/{CALLER}",
        f"{CALLER}?x",
        "@x.gserviceaccount.com",
        7,
    ],
)
def test_what_is_no_service_account_is_refused(email: Any) -> None:
    with pytest.raises(ConfigurationError, match="NAME@PROJECT"):
        service_account_issuer(email)


# Google Chat.


def certificate(key: SigningKey, now: float) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chat.system.gserviceaccount.com")])
    at = dt.datetime.fromtimestamp(now, dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.private.public_key(), 1, at, at + dt.timedelta(days=1))
    return builder.sign(key.private, SHA256()).public_bytes(Encoding.PEM).decode()


def chat(world: World, **changed: Any) -> str:
    bare = {
        "iss": CHAT_ACCOUNT,
        "aud": "1234567890",
        "sub": None,
        "email": None,
        "email_verified": None,
        "azp": None,
    }
    return world.token(**bare | changed)


def test_chat_is_verified_by_its_certificates_and_the_number_of_the_project(world: World) -> None:
    issuer = chat_project_number(1234567890)
    world.endpoint.body = json.dumps({world.key.kid: certificate(world.key, world.clock.now)}).encode()

    caller = world.verifier(None, issuers=[issuer]).verify(chat(world))

    assert (
        "https://www.googleapis.com/service_accounts/v1/metadata/x509/chat@system.gserviceaccount.com"
        == issuer.key_url
    )
    assert (f"serviceAccount:{CHAT_ACCOUNT}", None) == (caller.member, caller.subject)
    assert is_google_chat(caller)


def test_a_subject_in_a_token_of_chat_is_checked_where_there_is_one(world: World) -> None:
    verifier = world.verifier(None, issuers=[chat_project_number("1234567890")])

    assert "chat" == verifier.verify(chat(world, sub="chat")).subject
    assert (Reason.CLAIM_INVALID, "sub") == refused(verifier, chat(world, sub=""))
    assert (Reason.CLAIM_INVALID, "sub") == refused(verifier, chat(world, sub=7))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "1234567891"}, Reason.WRONG_AUDIENCE),
        ({"aud": 1234567890}, Reason.CLAIM_INVALID),
        ({"aud": AUDIENCE}, Reason.WRONG_AUDIENCE),
        ({"iss": "https://accounts.google.com"}, Reason.WRONG_ISSUER),
        ({"iss": "chat-api-push@system.gserviceaccount.com"}, Reason.WRONG_ISSUER),
    ],
    ids=str,
)
def test_for_another_project_or_from_somebody_else_it_is_refused(
    world: World, changed: dict[str, Any], reason: Reason
) -> None:
    verifier = world.verifier(None, issuers=[chat_project_number(1234567890)])

    assert reason == refused(verifier, chat(world, **changed))[0]


def test_chat_to_an_endpoint_url_is_an_ordinary_google_token(world: World) -> None:
    verifier = world.verifier()

    assert is_google_chat(verifier.verify(world.token(email=CHAT_ACCOUNT)))
    assert not is_google_chat(verifier.verify(world.token()))
    assert not is_google_chat(verifier.verify(world.token(email=CHAT_ACCOUNT, email_verified=False)))


@pytest.mark.parametrize("number", ["my-project", "", "12 ", 1.0, True, None])
def test_what_is_no_number_of_a_project_is_refused(number: Any) -> None:
    with pytest.raises(ConfigurationError, match="number of a project"):
        chat_project_number(number)


# Several at once.


def test_each_token_is_held_to_the_rules_of_its_own_issuer(world: World, user: Make) -> None:
    issuers: list[Issuer] = [
        GOOGLE,
        firebase(PROJECT),
        firebase("other-project"),
        service_account_issuer(CALLER),
        chat_project_number(1234567890),
    ]
    verifier = world.verifier(issuers=issuers)

    found = [verifier.verify(token).member for token in (world.token(), user(), own(world), chat(world))]

    assert [MEMBER, None, MEMBER, f"serviceAccount:{CHAT_ACCOUNT}"] == found
    assert 4 == world.endpoint.fetches
    assert (Reason.WRONG_ISSUER, "iss") == refused(verifier, world.token(iss="https://evil.example"))
    assert 4 == world.endpoint.fetches


# One place for a preset.


def test_a_preset_is_one_issuer_with_its_rules_and_nothing_else_knows_of_it(world: World) -> None:
    def of_the_moon(claims: Mapping[str, object], _leeway: float, _now: float) -> None:
        if claims.get("phase") != "full":
            refuse(Reason.CLAIM_INVALID, "phase", "the moon is not full")

    def moon(crater: str) -> Issuer:
        return Issuer(
            name=f"moon {crater}",
            iss_values=(f"https://moon.example/{crater}",),
            key_url="https://moon.example/keys",
            audiences=(crater,),
            extra_rules=(of_the_moon,),
            identify=lambda claims: Identity(f"{claims['sub']}@moon.example", google_account=False),
        )

    verifier = world.verifier(None, issuers=[moon("tycho"), firebase(PROJECT)])
    good = {"iss": "https://moon.example/tycho", "aud": "tycho"}

    principal = verifier.verify(world.token(phase="full", **good))

    assert ("https://moon.example/tycho", PrincipalKind.ACCOUNT) == (principal.issuer, principal.kind)
    assert (Reason.CLAIM_INVALID, "phase") == refused(verifier, world.token(phase="new", **good))
    explained = explain_token(verifier, world.token(phase="new", **good))
    assert ["issuer's own"] == [check.name for check in explained.checks if Outcome.FAILED == check.outcome]
