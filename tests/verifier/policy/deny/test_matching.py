from __future__ import annotations

from typing import Any

import pytest

from doorward import Issuer, PolicyError, Principal
from doorward.policy.deny.policy import DenyPolicy
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.groups import Unresolved
from doorward.tokens.principal import ANONYMOUS
from support.policies import principal
from support.tokens import CALLER, MEMBER, SUBJECT

INVOKE = "run.googleapis.com/routes.invoke"
EVERYONE = "principalSet://goog/public:all"
ROBOT = f"principal://iam.googleapis.com/projects/-/serviceAccounts/{CALLER}"
OTHER = "principal://iam.googleapis.com/projects/-/serviceAccounts/other@p.iam.gserviceaccount.com"
JANE = "principal://goog/subject/jane@example.com"
GROUP = "principalSet://goog/group/team@example.com"
CUSTOMER = "principalSet://goog/cloudIdentityCustomerId/C01Abc35"
PROJECT = "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAccount"
FEDERATED = "principalSet://iam.googleapis.com/locations/global/workforcePools/pool/*"
DELETED = "deleted:principal://goog/subject/jane@example.com?uid=1"


def jane(**changed: Any) -> Principal:
    return principal(**{"email": "Jane@Example.com", "sub": "1", **changed})


def nameless(**changed: Any) -> Principal:
    return principal(**{"email": None, "email_verified": None, **changed})


def rule(*denied: str, **more: Any) -> dict[str, Any]:
    return {
        "denyRule": {"deniedPrincipals": [*denied], "deniedPermissions": [INVOKE], **more},
        "description": "why",
    }


def policy(*rules: Any, customers: Any = None, **settings: Any) -> InvokerPolicy:
    deny = DenyPolicy.from_dict({"rules": [*rules]}, customers=customers)
    return InvokerPolicy.from_members(["allUsers"], **settings).with_deny(deny)


def denied(caller: Principal, *rules: Any, **settings: Any) -> bool:
    decision = policy(*rules, **settings).decide(caller)
    assert decision.granted != (decision.denied_by is not None)
    return decision.denied_by is not None


@pytest.mark.parametrize(
    ("one", "caller", "expected"),
    [
        (EVERYONE, principal(), True),
        (EVERYONE, ANONYMOUS, True),
        (ROBOT, principal(), True),
        (ROBOT.upper().replace("PRINCIPAL://IAM.GOOGLEAPIS.COM/PROJECTS", "principal://iam.googleapis.com/projects")
         .replace("SERVICEACCOUNTS", "serviceAccounts"), principal(), True),
        (ROBOT.replace(CALLER, SUBJECT), principal(), True),
        (ROBOT.replace(CALLER, SUBJECT), principal(sub="1"), False),
        (ROBOT, principal(email="other@p.iam.gserviceaccount.com"), False),
        (ROBOT, ANONYMOUS, False),
        (JANE, jane(), True),
        (JANE, jane(email="john@example.com"), False),
        (JANE, principal(), False),
        (FEDERATED, principal(), False),
        (DELETED, jane(), False),
    ],
)  # fmt: skip
def test_a_rule_denies_whom_it_names(one: str, caller: Principal, *, expected: bool) -> None:
    assert expected == denied(caller, rule(one))


def test_a_rule_without_principals_denies_no_caller() -> None:
    assert not denied(principal(), rule())
    assert not denied(principal(), {"denyRule": {}})


def test_who_is_excepted_is_not_denied() -> None:
    assert not denied(principal(), rule(EVERYONE, exceptionPrincipals=[ROBOT]))
    assert denied(jane(), rule(EVERYONE, exceptionPrincipals=[ROBOT]))


def test_each_rule_is_applied_on_its_own() -> None:
    rules = rule(EVERYONE, exceptionPrincipals=[ROBOT]), rule(ROBOT)

    assert "rules[1]" == policy(*rules).decide(principal()).denied_by


def test_deny_policies_come_before_whatever_grants() -> None:
    granting = InvokerPolicy.from_members([MEMBER, "allUsers"])
    decision = granting.with_deny(DenyPolicy.from_dict({"rules": [rule(ROBOT)]})).decide(principal())

    assert granting.decide(principal()).granted
    assert (False, "rules[0]", True) == (
        decision.granted,
        decision.denied_by,
        decision.same_for_every_request,
    )


def test_a_rule_about_another_permission_is_not_asked_to_be_decidable() -> None:
    assert not denied(
        principal(), rule(GROUP, CUSTOMER, PROJECT, deniedPermissions=["run.googleapis.com/jobs.run"])
    )


def conditional(expression: str, *denied: str) -> dict[str, Any]:
    return rule(*denied, denialCondition={"expression": expression, "title": "t"})


@pytest.mark.parametrize("expression", ["resource.matchTag('1/env', 'prod')", "false", "not (CEL"])
def test_a_rule_with_a_condition_applies_whatever_the_condition_where_tags_are_not_known(
    expression: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may ask for resource tags only, which no request carries: what is not known counts against."""
    one = conditional(expression, ROBOT)

    assert denied(principal(), one)
    assert "pass resource_tags" in caplog.messages[0]
    assert "pass resource_tags" in policy(one).explain(principal()).deny[0].reason


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("resource.matchTag('1/env', 'prod')", True),
        ("resource.matchTag('1/env', 'test')", False),
        ("!resource.matchTag('1/env', 'prod')", False),
        ("!resource.hasTagKey('1/other')", True),
        ("resource.hasTagKey('1/other') || resource.hasTagKey('1/env')", True),
        ("resource.hasTagKey('1/other') && resource.hasTagKeyId('tagKeys/1')", False),
        ("false", False),
    ],
)
def test_a_rule_with_a_condition_for_tags_that_are_known_applies_where_it_holds(
    expression: str, caplog: pytest.LogCaptureFixture, *, expected: bool
) -> None:
    one = conditional(expression, ROBOT)
    known = policy(one, resource_tags={"1/env": "prod"})

    assert expected is denied(principal(), one, resource_tags={"1/env": "prod"})
    assert expected is known.explain(principal()).deny[0].applies
    assert ("tags of the service" in known.explain(principal()).deny[0].reason) is not expected
    assert [] == caplog.messages
    assert known.decide(principal()).same_for_every_request


@pytest.mark.parametrize(
    "expression",
    [
        "resource.hasTagKeyId('tagKeys/1')",
        "!resource.hasTagKeyId('tagKeys/1')",
        "resource.name == 'x'",
        "request.path == '/x'",
        "request.time < timestamp('2000-01-01T00:00:00Z')",
        "not (CEL",
        "request.time < timestamp('soon')",
        "9223372036854775807 + 1 < 0",
        "x" * 5000,
    ],
)
def test_a_rule_whose_condition_the_tags_do_not_decide_applies_and_says_why(
    expression: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = conditional(expression, ROBOT)

    assert denied(principal(), one, resource_tags={"1/env": "prod"})
    assert "rules[0]: its condition is taken to hold: " in caplog.messages[0]


def test_a_rule_whose_condition_is_false_need_not_be_decidable() -> None:
    one = conditional("resource.hasTagKey('1/other')", CUSTOMER, GROUP)

    assert not denied(principal(), one, resource_tags={})
    with pytest.raises(PolicyError, match="customers="):
        policy(one)


# Service agents.

AGENTS = "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAgent"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("service-123@gcp-sa-pubsub.iam.gserviceaccount.com", True),
        ("SERVICE-123@gcp-sa-pubsub.iam.gserviceaccount.com", True),
        ("service-123@serverless-robot-prod.iam.gserviceaccount.com", True),
        ("project-123@storage-transfer-service.iam.gserviceaccount.com", True),
        ("123@cloudservices.gserviceaccount.com", True),
        ("service-p123@gcp-sa-accessapproval.iam.gserviceaccount.com", True),
        ("service-124@gcp-sa-pubsub.iam.gserviceaccount.com", False),
        ("service-1234@gcp-sa-pubsub.iam.gserviceaccount.com", False),
        ("service-folder-123@gcp-sa-pubsub.iam.gserviceaccount.com", False),
        ("service-org-123@gcp-sa-pubsub.iam.gserviceaccount.com", False),
        ("service-123@my-project.iam.gserviceaccount.com", False),
        ("123-compute@developer.gserviceaccount.com", False),
        (CALLER, False),
        ("jane@example.com", False),
    ],
)
def test_a_service_agent_is_excepted_by_the_number_in_its_address(address: str, *, expected: bool) -> None:
    one = rule(EVERYONE, exceptionPrincipals=[AGENTS])

    assert expected is not denied(principal(email=address), one)


@pytest.mark.parametrize(
    ("resource", "address", "expected"),
    [
        ("projects", "service-123@gcp-sa-pubsub.iam.gserviceaccount.com", True),
        ("projects", "service-123@a-new-agent.iam.gserviceaccount.com", True),
        ("projects", "service-124@gcp-sa-pubsub.iam.gserviceaccount.com", False),
        ("projects", "agent@system.gserviceaccount.com", True),
        ("projects", "123-compute@developer.gserviceaccount.com", False),
        ("projects", "my-project@appspot.gserviceaccount.com", False),
        ("projects", CALLER, False),
        ("projects", "jane@example.com", False),
    ],
)
def test_a_service_agent_is_denied_unless_its_address_says_that_it_is_none(
    resource: str, address: str, *, expected: bool
) -> None:
    assert expected is denied(principal(email=address), rule(AGENTS.replace("projects", resource)))


@pytest.mark.parametrize(
    ("resource", "address", "expected"),
    [
        ("folders", "service-folder-123@gcp-sa-x.iam.gserviceaccount.com", True),
        ("folders", "service-f123@gcp-sa-x.iam.gserviceaccount.com", True),
        ("folders", "service-123@gcp-sa-x.iam.gserviceaccount.com", False),
        ("organizations", "service-org-123@gcp-sa-x.iam.gserviceaccount.com", True),
        ("organizations", "service-o123@gcp-sa-x.iam.gserviceaccount.com", True),
        ("organizations", "service-123@gcp-sa-x.iam.gserviceaccount.com", False),
    ],
)
def test_an_agent_of_a_folder_or_an_organization_is_excepted_for_that_only(
    resource: str, address: str, *, expected: bool
) -> None:
    one = rule(EVERYONE, exceptionPrincipals=[AGENTS.replace("projects", resource)])

    assert expected is not denied(principal(email=address), one)


def test_who_shows_no_address_is_no_agent_that_is_excepted_and_one_that_is_denied() -> None:
    assert denied(nameless(), rule(EVERYONE, exceptionPrincipals=[AGENTS]))
    assert denied(nameless(), rule(AGENTS))
    assert not denied(ANONYMOUS, rule(AGENTS))


# What an ID token does not say.


@pytest.mark.parametrize("one", [ROBOT, JANE, OTHER])
def test_who_keeps_the_address_out_of_the_token_does_not_escape_a_rule_about_addresses(one: str) -> None:
    assert denied(nameless(), rule(one))
    assert denied(principal(email_verified=False), rule(one))


def test_who_keeps_the_address_out_of_the_token_is_not_excepted_by_it() -> None:
    assert denied(nameless(), rule(EVERYONE, exceptionPrincipals=[ROBOT]))


def test_a_unique_id_decides_who_is_denied_and_who_is_excepted() -> None:
    ids = {MEMBER: SUBJECT, "serviceAccount:other@p.iam.gserviceaccount.com": "2"}

    assert denied(nameless(), rule(ROBOT), unique_ids=ids)
    assert not denied(nameless(), rule(OTHER), unique_ids=ids)
    assert not denied(nameless(sub="3"), rule(OTHER), unique_ids=ids)
    assert denied(nameless(sub="3"), rule(JANE), unique_ids=ids)
    assert not denied(nameless(), rule(EVERYONE, exceptionPrincipals=[ROBOT]), unique_ids=ids)


def test_an_address_that_changed_hands_is_denied_and_is_not_excepted() -> None:
    ids = {MEMBER: "1"}

    assert denied(principal(), rule(ROBOT), unique_ids=ids)
    assert denied(principal(), rule(EVERYONE, exceptionPrincipals=[ROBOT]), unique_ids=ids)


def test_a_rule_about_google_accounts_does_not_concern_another_issuer() -> None:
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")

    assert not denied(principal(own), rule(ROBOT, JANE))


def test_the_unique_id_that_identity_aware_proxy_gives_is_the_same_one() -> None:
    through_iap = principal(sub=f"accounts.google.com:{SUBJECT}")

    assert denied(through_iap, rule(ROBOT.replace(CALLER, SUBJECT)))
    assert not denied(through_iap, rule(EVERYONE, exceptionPrincipals=[ROBOT]), unique_ids={MEMBER: SUBJECT})


# Groups.


def test_a_denied_group_is_denied_by_its_members() -> None:
    groups = {"team@example.com": [CALLER]}

    assert denied(principal(), rule(GROUP), groups=groups)
    assert not denied(jane(), rule(GROUP), groups=groups)
    assert not denied(ANONYMOUS, rule(GROUP), groups=groups)
    assert denied(nameless(), rule(GROUP), groups=groups)
    assert not policy(rule(GROUP), groups=groups).decide(jane()).same_for_every_request


def test_an_excepted_group_is_excepted_by_its_members() -> None:
    groups = {"team@example.com": [CALLER]}

    assert not denied(principal(), rule(EVERYONE, exceptionPrincipals=[GROUP]), groups=groups)
    assert denied(jane(), rule(EVERYONE, exceptionPrincipals=[GROUP]), groups=groups)
    assert denied(nameless(), rule(EVERYONE, exceptionPrincipals=[GROUP]), groups=groups)


@pytest.mark.parametrize(
    "one", [rule(GROUP), rule(EVERYONE, exceptionPrincipals=[GROUP])], ids=["denied", "excepted"]
)
def test_a_group_that_cannot_be_resolved_now_neither_grants_nor_refuses(one: Any) -> None:
    decision = policy(one, groups=lambda *_: Unresolved("away")).decide(principal())

    assert (False, None, "away", False) == (
        decision.granted,
        decision.denied_by,
        decision.unknown,
        decision.same_for_every_request,
    )


def test_what_is_certain_does_not_wait_for_a_group() -> None:
    away = {"groups": lambda *_: Unresolved("away")}

    assert denied(principal(), rule(GROUP), rule(ROBOT), **away)
    assert not denied(principal(), rule(GROUP, exceptionPrincipals=[ROBOT]), **away)


@pytest.mark.parametrize("one", [rule(GROUP), rule(EVERYONE, exceptionPrincipals=[GROUP])])
def test_a_group_that_nothing_resolves_does_not_load(one: Any) -> None:
    with pytest.raises(PolicyError, match=r"rules\[0\].*groups="):
        policy(one)


# Customers and projects.


def test_a_customer_is_denied_by_the_domains_of_its_users() -> None:
    customers = {"C01Abc35": ["Example.com"]}

    assert denied(jane(hd="EXAMPLE.com"), rule(CUSTOMER), customers=customers)
    assert not denied(jane(), rule(CUSTOMER), customers=customers)
    assert not denied(jane(hd="example.org"), rule(CUSTOMER), customers=customers)
    assert denied(principal(), rule(CUSTOMER), customers=customers), "its token does not name the customer"
    assert denied(nameless(), rule(CUSTOMER), customers=customers)


def test_a_customer_is_excepted_by_the_domains_of_its_users_only() -> None:
    one = rule(EVERYONE, exceptionPrincipals=[CUSTOMER])

    assert not denied(jane(hd="example.com"), one, customers={"C01Abc35": ["example.com"]})
    assert denied(principal(), one, customers={"C01Abc35": ["example.com"]})
    assert denied(jane(hd="example.com"), one)


def test_the_service_accounts_of_a_project_are_denied_by_its_number() -> None:
    numbers = {"project_numbers": {"doorward-test": "123"}}

    assert denied(principal(), rule(PROJECT), **numbers)
    assert not denied(principal(email="a@other.iam.gserviceaccount.com"), rule(PROJECT), **numbers)
    assert denied(principal(email="123@cloudservices.gserviceaccount.com"), rule(PROJECT), **numbers)
    assert not denied(jane(), rule(PROJECT), **numbers)
    assert denied(nameless(), rule(PROJECT), **numbers)


@pytest.mark.parametrize(
    ("one", "mend"),
    [
        (CUSTOMER, r"customers=\{'C01Abc35'"),
        (PROJECT, r"project_numbers=\{'PROJECT_ID': '123'"),
        (PROJECT.replace("projects", "folders"), "which folders"),
        (PROJECT.replace("ServiceAccount", "ServiceThing"), "which projects"),
        (PROJECT.replace("ServiceAccount", "ServiceAgent").replace("projects", "folders"), "which folders"),
    ],
)
def test_a_rule_that_denies_an_undecidable_principal_does_not_load(one: str, mend: str) -> None:
    with pytest.raises(PolicyError, match=mend):
        policy(rule(one))


def test_an_undecidable_principal_is_not_excepted() -> None:
    folder = PROJECT.replace("projects", "folders")

    assert denied(principal(), rule(EVERYONE, exceptionPrincipals=[folder, PROJECT, FEDERATED, DELETED]))
