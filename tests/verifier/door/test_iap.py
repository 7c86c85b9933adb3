"""The door behind Identity-Aware Proxy: its header, its issuer, its audiences."""

from __future__ import annotations

from typing import Any

import pytest

from doorward import IAP, Admission, Door, InvokerPolicy, Reason, Refusal, find_iap_assertion
from doorward.audiences.iap import iap_cloud_run_audience
from support.tokens import SigningKey, token
from support.world import World

AUDIENCE = iap_cloud_run_audience(1234567890, "europe-west1", "orders")
ASSERTION = b"x-goog-iap-jwt-assertion"


@pytest.fixture
def world() -> World:
    world = World()
    world.key = SigningKey("iap-1", "ES256")
    world.endpoint.keys = (world.key,)
    return world


def door(world: World) -> Door:
    verifier = world.verifier(AUDIENCE, issuers=[IAP])
    return Door(verifier, InvokerPolicy.from_members(["user:jo@example.com"]), credential=find_iap_assertion)


def assertion(world: World, **changed: Any) -> bytes:
    own: dict[str, Any] = {"aud": AUDIENCE, "iss": "https://cloud.google.com/iap"}
    own |= {"sub": "accounts.google.com:1122"}
    own |= {"email": "jo@example.com", "email_verified": None, "azp": AUDIENCE}
    own |= {"exp": int(world.clock.now) + 600}
    return token(world.key, world.clock.now, **(own | changed)).encode()


def test_a_caller_that_the_proxy_vouches_for_is_admitted(world: World) -> None:
    answer = door(world).admit([(ASSERTION, assertion(world))])

    assert isinstance(answer, Admission)
    assert "user:jo@example.com" == answer.principal.member


def test_the_application_sees_the_assertion_without_its_signature(world: World) -> None:
    answer = door(world).admit([(b"host", b"x"), (ASSERTION, assertion(world))])

    assert isinstance(answer, Admission)
    (_, (name, value)) = answer.headers
    assert (ASSERTION, b"SIGNATURE_REMOVED_BY_GOOGLE") == (name, value.rpartition(b".")[2])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": AUDIENCE.replace("orders", "billing")}, Reason.WRONG_AUDIENCE),
        ({"iss": "https://accounts.google.com"}, Reason.WRONG_ISSUER),
        ({"exp": 1_790_003_600}, Reason.LIFETIME_TOO_LONG),
        ({"sub": "securetoken.google.com/p:1", "gcip": {"sub": "1"}}, Reason.PERMISSION_DENIED),
        ({"email": "other@example.com"}, Reason.PERMISSION_DENIED),
    ],
    ids=["audience", "issuer", "lifetime", "external", "other"],
)
def test_what_the_proxy_does_not_say_is_refused(
    world: World, changed: dict[str, Any], reason: Reason
) -> None:
    answer = door(world).admit([(ASSERTION, assertion(world, **changed))])

    assert isinstance(answer, Refusal)
    assert reason == answer.reason


def test_no_other_header_is_looked_at(world: World) -> None:
    answer = door(world).admit([(b"authorization", b"Bearer " + assertion(world))])

    assert isinstance(answer, Refusal)
    assert Reason.NO_CREDENTIAL == answer.reason


def test_a_stripped_assertion_does_not_pass_a_public_door(world: World) -> None:
    verifier = world.verifier(AUDIENCE, issuers=[IAP])
    public = Door(verifier, InvokerPolicy.all_users(), credential=find_iap_assertion)
    stripped = assertion(world).rpartition(b".")[0] + b".SIGNATURE_REMOVED_BY_GOOGLE"

    for headers in ([(ASSERTION, stripped)], [(ASSERTION, stripped), (ASSERTION, b"x")]):
        answer = public.admit(headers)
        assert isinstance(answer, Refusal) or ASSERTION not in {
            name for name, value in answer.headers if b"REMOVED" in value
        }
