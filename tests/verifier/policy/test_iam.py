from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Issuer, PolicyError, Principal
from doorward.policy.decision import Decision
from doorward.policy.iam import InvokerPolicy
from doorward.policy.roles import INVOKER_ROLES
from doorward.tokens.principal import ANONYMOUS
from support.policies import INVOKER, binding, document, principal
from support.tokens import CALLER, MEMBER

CUSTOM = "projects/p/roles/caller"
JANE = "user:jane@example.com"


# Decisions.


def test_a_member_of_an_invoking_role_may_invoke() -> None:
    policy = InvokerPolicy.from_members([MEMBER])

    assert Decision(granted=True, member=MEMBER, role=INVOKER, same_for_every_request=True) == policy.decide(
        principal()
    )


def test_any_other_caller_may_not() -> None:
    policy = InvokerPolicy.from_members([MEMBER])

    assert Decision(granted=False, same_for_every_request=True) == policy.decide(
        principal(email="other@p.iam.gserviceaccount.com")
    )
    assert Decision(granted=False, same_for_every_request=True) == policy.decide(ANONYMOUS)


@pytest.mark.parametrize("role", sorted(INVOKER_ROLES))
def test_each_invoking_role_grants(role: str) -> None:
    assert Decision(granted=True, member=MEMBER, role=role, same_for_every_request=True) == InvokerPolicy(
        [(role, [MEMBER])]
    ).decide(principal())


@pytest.mark.parametrize(
    "role",
    [
        "roles/cloudfunctions.invoker",
        "roles/run.viewer",
        "roles/viewer",
        "roles/run.jobsExecutor",
        "roles/run.builder",
        "roles/iap.httpsResourceAccessor",
        "roles/unknown",
        "roles/Run.Invoker",
        "roles/run.invoker ",
    ],
)
def test_another_predefined_role_does_not(role: str) -> None:
    assert Decision(granted=False, same_for_every_request=True) == InvokerPolicy(
        [(role, [MEMBER, "allUsers"])]
    ).decide(principal())


def test_the_bindings_of_a_policy_are_united() -> None:
    policy = InvokerPolicy([(INVOKER, [JANE]), ("roles/run.viewer", [MEMBER]), ("roles/run.admin", [MEMBER])])

    assert Decision(
        granted=True, member=MEMBER, role="roles/run.admin", same_for_every_request=True
    ) == policy.decide(principal())


def test_addresses_are_compared_without_regard_to_case() -> None:
    policy = InvokerPolicy.from_members([MEMBER.replace("caller", "Caller")])

    assert policy.decide(principal(email=CALLER.upper())).granted


def test_a_letter_that_folds_into_another_is_another() -> None:
    policy = InvokerPolicy.from_members(["user:kate@example.com"])

    assert not policy.decide(principal(email="\u212aate@example.com")).granted


def test_a_user_of_the_domain_may_invoke_and_a_user_of_a_like_one_may_not() -> None:
    policy = InvokerPolicy.from_members(["domain:Example.com"])

    assert policy.decide(principal(email="jane@example.com", hd="example.com")).granted
    assert not policy.decide(principal(email="jane@example.com")).granted
    assert not policy.decide(principal(email="jane@example.com", hd="sub.example.com")).granted
    assert not policy.decide(
        principal(email="jane@example.com", hd="example.com", email_verified=False)
    ).granted


def test_an_address_that_is_not_verified_grants_nothing() -> None:
    policy = InvokerPolicy.from_members([MEMBER])

    for verified in (None, False, "true", 1):
        assert not policy.decide(principal(email_verified=verified)).granted


def test_all_authenticated_users_are_google_accounts_only() -> None:
    policy = InvokerPolicy.all_authenticated_users()
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")

    assert policy.decide(principal()).granted
    assert policy.decide(principal(email=None)).granted
    assert not policy.decide(principal(own)).granted
    assert not policy.decide(ANONYMOUS).granted
    assert not policy.public


def test_another_issuer_cannot_name_a_member() -> None:
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")

    assert (
        not InvokerPolicy.from_members([MEMBER, "domain:example.com"])
        .decide(principal(own, hd="example.com"))
        .granted
    )


def test_all_users_are_every_caller() -> None:
    policy = InvokerPolicy.all_users()

    assert policy.public
    assert Decision(
        granted=True, member="allUsers", role=INVOKER, same_for_every_request=True
    ) == policy.decide(ANONYMOUS)
    assert policy.decide(principal()).granted


def test_a_deleted_member_grants_nothing() -> None:
    policy = InvokerPolicy.from_members([f"deleted:{MEMBER}?uid=1"])

    assert not policy.decide(principal()).granted


def test_the_narrowest_member_is_named() -> None:
    policy = InvokerPolicy.from_members(["allUsers", "allAuthenticatedUsers", MEMBER])

    assert MEMBER == policy.decide(principal()).member


def test_a_repr_names_no_member() -> None:
    assert "InvokerPolicy(2 members)" == repr(InvokerPolicy.from_members([MEMBER, JANE]))


def test_1500_members_are_found_like_one() -> None:
    members = [f"user:u{number}@example.com" for number in range(1500)]
    index = InvokerPolicy.from_members([*members, MEMBER])._index

    assert 1501 == len(index.unconditional)
    assert ((), {}) == (index.groups, index.conditional)


# Other permissions.


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        ("cloudfunctions.functions.invoke", "roles/cloudfunctions.invoker"),
        ("run.instances.invoke", "roles/run.invoker"),
        ("iap.webServiceVersions.accessViaIAP", "roles/iap.httpsResourceAccessor"),
    ],
)
def test_another_permission_is_asked_for_by_name(permission: str, role: str) -> None:
    policy = InvokerPolicy.from_members([MEMBER], permission=permission)

    assert permission == policy.permission
    assert Decision(granted=True, member=MEMBER, role=role, same_for_every_request=True) == policy.decide(
        principal()
    )


def test_a_permission_that_is_not_known_cannot_be_asked_for() -> None:
    with pytest.raises(PolicyError, match="known are"):
        InvokerPolicy([], permission="run.services.get")


def test_a_custom_role_can_be_given_to_members() -> None:
    policy = InvokerPolicy.from_members([MEMBER], role=CUSTOM, custom_roles={CUSTOM: ["run.routes.invoke"]})

    assert CUSTOM == policy.decide(principal()).role


# In general.


emails = st.sampled_from(
    ["a@example.com", "b@example.com", "A@p.iam.gserviceaccount.com", "b@p.iam.gserviceaccount.com"]
)


members = st.one_of(
    emails.map(lambda email: f"{'serviceAccount' if 'gservice' in email else 'user'}:{email}"),
    st.sampled_from(
        ["allUsers", "allAuthenticatedUsers", "domain:example.com", "deleted:user:a@example.com?uid=1"]
    ),
)


roles = st.sampled_from([*sorted(INVOKER_ROLES)[:4], INVOKER, "roles/run.viewer", "roles/viewer"])


bindings = st.tuples(roles, st.lists(members, max_size=4))


callers = st.one_of(
    st.just(ANONYMOUS),
    st.builds(
        lambda email, hd, verified: principal(email=email, hd=hd, email_verified=verified),
        emails,
        st.sampled_from([None, "example.com"]),
        st.booleans(),
    ),
)


@given(st.lists(bindings, max_size=5), bindings, st.integers(0, 5), callers)
@settings(deadline=None, max_examples=200)
def test_a_binding_more_never_takes_a_grant_away(
    some: list[tuple[str, list[str]]], more: tuple[str, list[str]], where: int, caller: Principal
) -> None:
    before = InvokerPolicy(some).decide(caller)
    after = InvokerPolicy([*some[:where], more, *some[where:]]).decide(caller)

    assert after.granted >= before.granted


@given(st.lists(bindings, max_size=5), callers, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_the_order_of_bindings_decides_nothing(
    some: list[tuple[str, list[str]]], caller: Principal, rng: Any
) -> None:
    shuffled = [*some]
    rng.shuffle(shuffled)

    assert InvokerPolicy(some).decide(caller).granted == InvokerPolicy(shuffled).decide(caller).granted


@given(st.lists(bindings, max_size=5), callers)
@settings(deadline=None, max_examples=200)
def test_a_policy_from_json_decides_as_one_from_bindings(
    some: list[tuple[str, list[str]]], caller: Principal
) -> None:
    text = json.dumps(document(*(binding(role, *names) for role, names in some)))

    assert InvokerPolicy(some).decide(caller) == InvokerPolicy.from_json(text).decide(caller)


@given(
    st.dictionaries(
        st.text(max_size=8) | st.sampled_from(["bindings", "version"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["role", "members", "condition", "x"]), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=3,
    )
)
@settings(deadline=None, max_examples=300)
def test_no_json_raises_anything_but_a_policy_error(anything: dict[str, Any]) -> None:
    try:
        policy = InvokerPolicy.from_json(json.dumps(anything))
    except PolicyError as error:
        assert str(error)  # noqa: PT017 - most draws are no policy
    else:
        assert not policy.decide(ANONYMOUS).granted or policy.public
