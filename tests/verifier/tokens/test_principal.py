from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, Issuer, Principal, PrincipalKind
from doorward.tokens.compute_engine import ComputeEngine
from doorward.tokens.principal import ANONYMOUS
from support.tokens import CALLER, MEMBER, SUBJECT, claims
from support.world import World

OWN = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")


def principal(issuer: Issuer = GOOGLE, **changed: Any) -> Principal:
    return Principal(MappingProxyType(claims(1_790_000_000.0, **changed)), issuer)


def test_a_service_account_is_told_by_its_domain() -> None:
    caller = principal()

    assert PrincipalKind.SERVICE_ACCOUNT == caller.kind
    assert (MEMBER, CALLER) == (caller.member, caller.email)
    assert (SUBJECT, "https://accounts.google.com") == (caller.subject, caller.issuer)
    assert caller.google_account
    assert not caller.anonymous


@pytest.mark.parametrize(
    "email",
    [
        "123-compute@developer.gserviceaccount.com",
        "my-project@appspot.gserviceaccount.com",
        "chat@system.gserviceaccount.com",
        "CALLER@P.IAM.GSERVICEACCOUNT.COM",
    ],
)
def test_every_kind_of_service_account_is_one(email: str) -> None:
    assert (PrincipalKind.SERVICE_ACCOUNT, f"serviceAccount:{email.lower()}", email) == (
        principal(email=email).kind,
        principal(email=email).member,
        principal(email=email).email,
    )


@pytest.mark.parametrize(
    "email",
    ["service-1@gcp-sa-pubsub.iam.gserviceaccount.com", "SERVICE-1@GCP-SA-IAP.IAM.GSERVICEACCOUNT.COM"],
)
def test_a_service_agent_is_a_kind_of_its_own_and_a_service_account_to_iam(email: str) -> None:
    caller = principal(email=email)

    assert PrincipalKind.SERVICE_AGENT == caller.kind
    assert (f"serviceAccount:{email.lower()}", email) == (caller.member, caller.email)


@pytest.mark.parametrize(
    ("changed", "project"),
    [
        ({}, "doorward-test"),
        ({"email": "X@MY-PROJECT.IAM.GSERVICEACCOUNT.COM"}, "my-project"),
        ({"email": "my-project@appspot.gserviceaccount.com"}, "my-project"),
        ({"email": "123-compute@developer.gserviceaccount.com"}, None),
        ({"email": "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"}, None),
        ({"email": "x@my-project.iam.example.com"}, None),
        ({"email_verified": False}, None),
        ({"email": None}, None),
    ],
    ids=str,
)
def test_the_project_of_a_service_account_is_what_its_verified_address_tells(
    changed: dict[str, Any], project: str | None
) -> None:
    assert project == principal(**changed).project


def test_nobody_and_other_issuers_have_no_project() -> None:
    assert ANONYMOUS.project is None
    assert principal(OWN).project is None


MACHINE = {
    "instance_confidentiality": 1,
    "instance_creation_timestamp": 1686491081,
    "instance_id": "4570452845155348778",
    "instance_name": "worker-1",
    "project_id": "doorward-test",
    "project_number": 1071284184436,
    "zone": "us-central1-c",
    "license_id": ("1000204",),
}


def machine(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in (MACHINE | changed).items() if value is not None}


def test_the_machine_of_a_token_is_typed() -> None:
    assert (
        ComputeEngine(
            project_id="doorward-test",
            project_number=1071284184436,
            zone="us-central1-c",
            instance_id="4570452845155348778",
            instance_name="worker-1",
            instance_creation_timestamp=1686491081,
            instance_confidentiality=1,
            license_ids=("1000204",),
        )
        == principal(google={"compute_engine": machine()}).compute_engine
    )


def test_confidentiality_and_licences_may_be_missing() -> None:
    claim = {"compute_engine": machine(instance_confidentiality=None, license_id=None)}

    found = principal(google=claim).compute_engine

    assert found is not None
    assert (None, ()) == (found.instance_confidentiality, found.license_ids)


@pytest.mark.parametrize(
    "google",
    [
        None,
        "text",
        ("a",),
        {},
        {"compute_engine": None},
        {"compute_engine": "text"},
        {"compute_engine": {}},
        *(
            {"compute_engine": machine(**changed)}
            for changed in (
                {"project_id": None},
                {"project_id": 7},
                {"project_number": "1071284184436"},
                {"project_number": True},
                {"project_number": 1.0},
                {"project_number": None},
                {"zone": ("us-central1-c",)},
                {"instance_id": 4570452845155348778},
                {"instance_name": None},
                {"instance_creation_timestamp": "1686491081"},
                {"instance_confidentiality": "1"},
                {"instance_confidentiality": True},
                {"license_id": "1000204"},
                {"license_id": (7,)},
            )
        ),
    ],
    ids=lambda google: repr(google)[-60:],
)
def test_a_machine_that_is_not_whole_is_none(google: Any) -> None:
    assert principal(google=google).compute_engine is None


def test_a_machine_is_read_from_a_verified_token(world: World) -> None:
    signed = world.token(google={"compute_engine": machine(license_id=["1", "2"])})

    found = world.verifier().verify(signed).compute_engine

    assert found is not None
    assert ("1", "2") == found.license_ids


def test_only_google_speaks_of_machines() -> None:
    assert principal(OWN, google={"compute_engine": machine()}).compute_engine is None
    assert ANONYMOUS.compute_engine is None


@pytest.mark.parametrize(
    "email",
    [
        "x@evil.com",
        "sa@proj.iam.gserviceaccount.com.evil.com",
        "sa.iam.gserviceaccount.com@evil.com",
        "sa@iam-gserviceaccount.com",
        "sa@gserviceaccount.com",
        "sa@evilgserviceaccount.com",
        "sa@proj.iam.gserviceaccount.co",
        "sa@proj.iam.gserviceaccount.com.",
        "sa@proj.iam.gserviceaccount.c\u043em",
        "sa@proj.iam.g\u017ferviceaccount.com",
        "sa@proj\u3002iam\u3002gserviceaccount\u3002com",
    ],
)
def test_what_only_looks_like_a_service_account_is_a_user(email: str) -> None:
    assert PrincipalKind.USER == principal(email=email).kind
    assert f"user:{email}" == principal(email=email).member


def test_an_address_is_folded_to_lower_case_in_the_member_and_kept_as_it_is_in_the_email() -> None:
    caller = principal(email="Jane.Doe@Example.COM")

    assert ("user:jane.doe@example.com", "Jane.Doe@Example.COM") == (caller.member, caller.email)


@pytest.mark.parametrize("letter", ["\u212a", "\u0130", "\u017f"], ids=["kelvin sign", "dotted i", "long s"])
def test_a_letter_that_folds_into_ascii_does_not(letter: str) -> None:
    caller = principal(email=f"{letter}a@example.com")

    assert f"user:{letter}a@example.com" == caller.member


@pytest.mark.parametrize(
    "verified", [None, False, "true", "True", 1, 1.0, (True,), "", {"x": True}], ids=repr
)
def test_an_email_grants_nothing_unless_it_is_verified(verified: object) -> None:
    caller = principal(email_verified=verified)

    assert (PrincipalKind.ACCOUNT, None, None) == (caller.kind, caller.member, caller.email)
    assert f"subject:{SUBJECT}" == str(caller)


def test_a_token_without_an_email_is_an_account_known_by_its_subject() -> None:
    caller = principal(email=None)

    assert (PrincipalKind.ACCOUNT, None, SUBJECT) == (caller.kind, caller.member, caller.subject)


@pytest.mark.parametrize(
    ("hd", "expected"), [("example.com", "example.com"), ("", None), (7, None), (True, None), (None, None)]
)
def test_a_hosted_domain_is_a_string(hd: object, expected: str | None) -> None:
    assert expected == principal(hd=hd).hosted_domain


def test_another_issuer_vouches_for_no_google_account() -> None:
    assert not principal(OWN).google_account


def test_anonymous_is_nobody() -> None:
    assert ANONYMOUS.anonymous
    assert PrincipalKind.ANONYMOUS == ANONYMOUS.kind
    assert (None,) * 5 == (
        ANONYMOUS.member,
        ANONYMOUS.email,
        ANONYMOUS.subject,
        ANONYMOUS.issuer,
        ANONYMOUS.hosted_domain,
    )
    assert {} == ANONYMOUS.claims
    assert not ANONYMOUS.google_account
    assert "anonymous" == str(ANONYMOUS)


@pytest.mark.parametrize(
    "name",
    ["member", "email", "kind", "subject", "claims", "google_account", "project", "compute_engine", "added"],
)
def test_a_principal_is_read_only(name: str) -> None:
    caller = principal()

    with pytest.raises(AttributeError, match=name):
        setattr(caller, name, "user:root@example.com")
    with pytest.raises(AttributeError, match=name):
        delattr(caller, name)
    assert MEMBER == caller.member


def test_the_claims_of_a_verified_principal_are_read_only_at_every_depth(world: World) -> None:
    signed = world.token(google={"compute_engine": {"license_id": ["1", {"x": 1}]}})

    found: Any = world.verifier().verify(signed).claims

    changes: tuple[Callable[[], Any], ...] = (
        lambda: found.__setitem__("email", "x"),
        lambda: found["google"].__setitem__("x", 1),
        lambda: found["google"]["compute_engine"]["license_id"].append("2"),
        lambda: found["google"]["compute_engine"]["license_id"][1].__setitem__("x", 2),
    )
    for change in changes:
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert ("1", {"x": 1}) == found["google"]["compute_engine"]["license_id"]


def test_principals_are_compared_by_who_they_are() -> None:
    assert principal() == principal(exp=1, aud="other")
    assert hash(principal()) == hash(principal(exp=1, aud="other"))
    assert principal() != principal(sub="1")
    assert principal() != principal(email_verified=False)
    assert principal() == principal(iss="accounts.google.com")
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")
    assert principal() != principal(own)
    assert principal() != MEMBER


def test_an_address_makes_no_member_where_google_does_not_vouch_for_the_account() -> None:
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")

    caller = principal(own)

    assert (None, CALLER) == (caller.member, caller.email)
    assert PrincipalKind.ACCOUNT == caller.kind


def test_a_repr_shows_who_it_is_and_no_other_claim() -> None:
    assert f"Principal({MEMBER})" == repr(principal(name="hidden"))


@given(st.text(max_size=30), st.sampled_from(["@x.iam.gserviceaccount.com", "@example.com", ""]))
@settings(deadline=None, max_examples=200)
def test_only_what_ends_in_the_domain_is_ever_a_service_account(start: str, end: str) -> None:
    caller = principal(email=start + end)

    expected = (start + end).isascii() and (start + end).lower().endswith(".gserviceaccount.com")
    tail = (start + end).endswith(".gserviceaccount.com")
    assert (expected or tail) == (PrincipalKind.SERVICE_ACCOUNT == caller.kind)


# On its way to somewhere else.


@dataclasses.dataclass
class Job:
    caller: Principal


def nested(world: World) -> Principal:
    return world.verifier().verify(
        world.token(google={"compute_engine": {"zones": ["a", {"b": 1}]}}, hd="example.com")
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_principal_that_is_pickled_arrives_whole_and_read_only(world: World, protocol: int) -> None:
    caller = nested(world)

    arrived = pickle.loads(pickle.dumps(caller, protocol))

    assert caller == arrived
    assert caller.as_dict() == arrived.as_dict()
    assert (caller.kind, type(caller)) == (arrived.kind, type(arrived))
    with pytest.raises(AttributeError, match="read-only"):
        arrived.member = "user:root@example.com"
    inner: Any = arrived.claims["google"]
    with pytest.raises(TypeError):
        inner["compute_engine"]["zones"][1]["b"] = 2


def test_the_anonymous_principal_arrives_as_itself() -> None:
    assert ANONYMOUS == pickle.loads(pickle.dumps(ANONYMOUS))


def test_a_copy_of_a_principal_is_the_principal(world: World) -> None:
    caller = nested(world)

    assert caller is copy.copy(caller) is copy.deepcopy(caller)
    assert {"caller": caller} == dataclasses.asdict(Job(caller))


def test_a_principal_is_written_as_json(world: World) -> None:
    caller = nested(world)

    written = json.loads(json.dumps(caller.as_dict()))

    assert caller.as_dict() == written
    assert ("service_account", MEMBER) == (written["kind"], written["member"])
    assert ["a", {"b": 1}] == written["claims"]["google"]["compute_engine"]["zones"]
