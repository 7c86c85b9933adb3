from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from doorward import GOOGLE, IAP, InvokerPolicy, Issuer, PolicyError, firebase
from doorward.policy.decision import Decision
from doorward.policy.evaluation import decide
from doorward.policy.index import PermissionBinding, PolicyIndex
from doorward.policy.membership.groups import resolver
from doorward.policy.membership.identities import NO_KNOWN_ACCOUNTS
from doorward.policy.membership.members import Member
from doorward.policy.request import ANYWHERE
from doorward.tokens.principal import ANONYMOUS
from support.conditions import StubCondition
from support.policies import INVOKER, binding, deny, document, principal
from support.tokens import MEMBER

FIREBASE = firebase("my-project-1a2b3")
OTHER = firebase("my-project-9z8y7")
OWN = Issuer(name="own", iss_values=("https://own.example", "own"), key_url="https://own.example/keys")
MEMBER_OF = "every user of https://securetoken.google.com/my-project-1a2b3"


# The users of one issuer.


def test_every_user_of_the_issuer_is_admitted_for_good() -> None:
    policy = InvokerPolicy.users_of(FIREBASE)

    assert Decision(
        granted=True, member=MEMBER_OF, role=INVOKER, same_for_every_request=True
    ) == policy.decide(principal(FIREBASE))
    assert policy.decide(principal(FIREBASE, email=None, email_verified=None)).granted
    assert policy.decide(principal(replace(FIREBASE, key_url="http://localhost/keys"))).granted


@pytest.mark.parametrize(
    "caller",
    [
        principal(),
        principal(email="jane@example.com"),
        principal(OTHER),
        principal(OWN),
        principal(IAP),
        ANONYMOUS,
    ],
    ids=["service account", "user", "another project", "one's own issuer", "through IAP", "anonymous"],
)
def test_no_other_caller_is(caller: Any) -> None:
    policy = InvokerPolicy.users_of(FIREBASE)

    assert Decision(granted=False, same_for_every_request=True) == policy.decide(caller)
    assert not policy.public


def test_a_claim_of_the_caller_makes_it_no_user_of_the_issuer() -> None:
    name = FIREBASE.iss_values[0]
    caller = principal(OWN, iss=name, email=MEMBER_OF, hd=name, sub=name)

    assert not InvokerPolicy.users_of(FIREBASE).decide(caller).granted


def test_the_users_of_several_issuers_are_admitted() -> None:
    policy = InvokerPolicy.users_of(FIREBASE, OWN)

    assert policy.decide(principal(FIREBASE)).granted
    assert policy.decide(principal(OWN)).granted
    assert not policy.decide(principal(OTHER)).granted


def test_an_issuer_of_google_accounts_admits_its_own_only() -> None:
    assert InvokerPolicy.users_of(GOOGLE).decide(principal()).granted
    assert not InvokerPolicy.users_of(GOOGLE).decide(principal(IAP)).granted
    assert not InvokerPolicy.users_of(IAP).decide(principal()).granted


def test_they_join_the_members_of_an_iam_policy() -> None:
    iam = InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER)))
    joined = InvokerPolicy.join(iam, InvokerPolicy.users_of(FIREBASE))

    assert joined.decide(principal()).granted
    assert joined.decide(principal(FIREBASE)).granted
    assert not joined.decide(principal(OTHER)).granted
    assert [binding(INVOKER, MEMBER)] == joined.to_dict()["bindings"]
    assert "InvokerPolicy(2 members)" == repr(joined)


def test_they_are_admitted_beside_conditions_and_groups_which_are_not_asked() -> None:
    groups = InvokerPolicy.from_members(["group:g@x.com"], groups=lambda *_: pytest.fail("asked"))
    joined = InvokerPolicy.join(groups, InvokerPolicy.users_of(FIREBASE))

    assert joined.decide(principal(FIREBASE)).same_for_every_request


def test_under_a_condition_they_are_not_admitted() -> None:
    """No policy has such a binding; if one had, it must not grant whatever its condition says."""
    member = Member("users", issuer=FIREBASE.iss_values[0])
    condition = StubCondition("request.path == '/'")
    bound = PermissionBinding("bindings[0]", INVOKER, (member,), condition, resolver(None))
    index = PolicyIndex([bound], (), NO_KNOWN_ACCOUNTS)

    assert not decide(index, principal(FIREBASE), ANYWHERE, 0.0).granted


def test_deny_policies_come_before_them() -> None:
    policy = InvokerPolicy.users_of(FIREBASE)

    assert not policy.with_deny(deny("principalSet://goog/public:all")).decide(principal(FIREBASE)).granted
    assert policy.with_deny(deny("principal://goog/subject/a@x.com")).decide(principal(FIREBASE)).granted


def test_no_member_of_a_document_stands_for_them() -> None:
    assert {} == InvokerPolicy.users_of(FIREBASE).to_dict()
    with pytest.raises(PolicyError):
        InvokerPolicy.from_members([MEMBER_OF])


def test_their_explanation_says_so() -> None:
    policy = InvokerPolicy.users_of(FIREBASE)

    assert [
        f"{principal(FIREBASE)}: may use run.routes.invoke by roles/run.invoker of {MEMBER_OF}",
        "  users_of[0] roles/run.invoker: grants yes",
        f"    {MEMBER_OF}: the token of the caller is from this issuer",
    ] == list(policy.explain(principal(FIREBASE)).lines())
    assert (
        f"    {MEMBER_OF}: the token of the caller is not from this issuer"
        in policy.explain(ANONYMOUS).lines()
    )


def test_another_permission_may_be_asked_for() -> None:
    policy = InvokerPolicy.users_of(FIREBASE, permission="cloudfunctions.functions.invoke")

    assert "roles/cloudfunctions.invoker" == policy.decide(principal(FIREBASE)).role


@pytest.mark.parametrize("issuers", [(), ("https://own.example",), (FIREBASE, None), ([FIREBASE],)], ids=repr)
def test_what_is_no_issuer_is_refused(issuers: Any) -> None:
    with pytest.raises(PolicyError, match=r"firebase\(PROJECT\)"):
        InvokerPolicy.users_of(*issuers)
