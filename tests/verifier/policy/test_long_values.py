"""What an error, a log line or an explanation of the policy room shows of a long value: its beginning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doorward import DenyPolicy, InvokerPolicy, PlainRequest, PolicyError
from support.policies import INVOKER, binding, deny_rule, document, principal
from support.tokens import MEMBER

LONG = "x" * 900_000
LINES = "x\n" * 450_000
MOST = 2_000


def conditional(expression: str, **more: Any) -> Any:
    return document(binding(INVOKER, MEMBER, condition={"expression": expression, **more}), version=3)


DOCUMENTS = {
    "a member": document(binding(INVOKER, LONG)),
    "a user": document(binding(INVOKER, f"user:{LONG}")),
    "a service account named as a user": document(binding(INVOKER, f"user:{LONG}@p.iam.gserviceaccount.com")),
    "a group": document(binding(INVOKER, f"group:{LONG}@x.com")),
    "a principal set": document(binding(INVOKER, f"principalSet://{LONG}")),
    "a member with lines": document(binding(INVOKER, LINES)),
    "a member that is a number": document(binding(INVOKER, 10**5000)),
    "a role that hides a condition": document(binding(f"{INVOKER}_withcond_{LONG}", MEMBER)),
    "a role with a bad member": document(binding(INVOKER, MEMBER, 7)),
    "a member of the document": {LONG: 1},
    "a member of the document that is a number": {10**5000: 1},
    "a member of a binding": document({"role": INVOKER, LONG: 1}),
    "a member of a condition": document(binding(INVOKER, MEMBER, condition={"expression": "true", LONG: 1})),
    "a version": {"version": LONG},
    "a version that is a number": {"version": 10**5000},
    "a version that is a list": {"version": [LONG]},
    "an entry of the list": [{"policy": {}, LONG: 1}],
    "a resource of the list": [{"policy": {"a": 1}, "id": LONG, "type": LONG}],
    "what nests too deeply": {"auditConfigs": json.loads("[" * 500 + "]" * 500)},
}


@pytest.mark.parametrize("written", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_an_error_of_a_document_repeats_no_large_input(written: Any) -> None:
    with pytest.raises(PolicyError) as refused:
        InvokerPolicy.from_dict(written)

    assert len(str(refused.value)) < MOST
    assert "\n" not in str(refused.value)
    cause = refused.value.__cause__
    assert cause is None or len(str(cause)) < MOST


SETTINGS = {
    "a permission": {"permission": LONG},
    "an account": {"unique_ids": {LONG: "1"}},
    "a unique id": {"unique_ids": {f"user:{LONG}@x.com": "a"}},
    "a project": {"project_numbers": {LONG: "a"}},
    "the members of a group": {"groups": {f"{LONG}@x.com": LONG}},
    "a member of a group": {"groups": {"g@x.com": [LONG, f"domain:{LONG}"]}},
    "a group in a group": {"groups": {f"{LONG}@x.com": [f"group:{LONG}@y.com"]}},
    "a tag": {"resource_tags": {LONG: LONG}},
    "a custom role": {"custom_roles": {LONG: LONG}},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_an_error_of_a_setting_repeats_no_large_input(settings: Any) -> None:
    with pytest.raises(PolicyError) as refused:
        InvokerPolicy([(LONG, [MEMBER])], **settings)

    assert len(str(refused.value)) < MOST


DENY = {
    "a member": {LONG: 1},
    "a member of a rule": {"rules": [{"denyRule": {LONG: 1}}]},
    "a permission": {"rules": [{"denyRule": {"deniedPermissions": [LONG]}}]},
    "a principal": {"rules": [{"denyRule": deny_rule(LONG)}], "displayName": LONG},
    "an excepted one": {"rules": [{"denyRule": deny_rule(exceptionPrincipals=[LINES])}]},
}


@pytest.mark.parametrize("written", DENY.values(), ids=DENY.keys())
def test_an_error_of_a_deny_policy_repeats_no_large_input(written: Any) -> None:
    with pytest.raises(PolicyError) as refused:
        DenyPolicy.from_dict(written)

    assert len(str(refused.value)) < MOST


UNDECIDABLE = [
    f"principalSet://goog/cloudIdentityCustomerId/C{LONG}",
    f"principalSet://goog/group/{LONG}@x.com",
    "principalSet://cloudresourcemanager.googleapis.com/projects/" + "1" * 900_000 + "/type/ServiceAccount",
    "principalSet://cloudresourcemanager.googleapis.com/folders/" + "1" * 900_000 + "/type/ServiceAgent",
]


@pytest.mark.parametrize("one", UNDECIDABLE, ids=lambda one: one[:60])
def test_an_error_of_a_rule_that_cannot_be_decided_repeats_no_large_input(one: str) -> None:
    deny = DenyPolicy.from_dict({"rules": [{"denyRule": deny_rule(one)}], "displayName": LONG})
    with pytest.raises(PolicyError) as refused:
        InvokerPolicy.all_users().with_deny(deny)

    assert len(str(refused.value)) < MOST


EXPRESSIONS = [
    "x" * 4000,
    "x" * 5000,
    f'request.path.{"x" * 4000}("a")',
    f'request.path == "{"x" * 4000}" && request.path.lower()',
    f'request.path.extract("{"x" * 4000}") == ""',
    f'request.path.matches("[{"x" * 4000}")',
    f'request.time.getHours("{"x" * 4000}") == 1',
    f'request.time < timestamp("{"x" * 4000}")',
    f'{"x" * 4000} == "a"',
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda text: repr(text[:30]))
def test_a_log_line_and_an_explanation_repeat_no_large_condition(
    expression: str, caplog: pytest.LogCaptureFixture
) -> None:
    for title in ("", LONG, LINES):
        policy = InvokerPolicy.from_dict(conditional(expression, title=title))
        assert all(len(message) < MOST for message in caplog.messages)
        assert all(len(line) < MOST for line in policy.explain(principal(), PlainRequest("/")).lines())


def test_a_log_line_and_an_explanation_repeat_no_large_value(caplog: pytest.LogCaptureFixture) -> None:
    address = f"{LONG}@x.com"
    members = [
        f"user:{address}",
        f"principal://iam.googleapis.com/locations/global/workforcePools/p/subject/{LONG}",
    ]
    written = document(
        binding(LONG, MEMBER),
        binding(LINES, MEMBER),
        binding(INVOKER, *members),
        binding(INVOKER, f"group:{address}"),
    )
    policy = InvokerPolicy.from_dict(written, groups=lambda *_: 1 / 0)  # type: ignore[arg-type]
    denying = {"denyRule": deny_rule(f"principal://goog/subject/{LONG}@x.com"), "description": LONG}
    policy = policy.with_deny(DenyPolicy.from_dict({"rules": [denying], "displayName": LINES}))
    explained = policy.explain(principal())

    assert all(len(message) < MOST for message in caplog.messages)
    assert all(len(line) < MOST and "\n" not in line for line in explained.lines())
    assert len(json.dumps(explained.as_dict())) < 5 * MOST
    granted = policy.explain(principal(email=f"{LONG}@x.com"))
    assert all(len(line) < MOST for line in granted.lines())


def test_so_many_names_are_listed_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    roles = [binding(f"projects/p/roles/r{number}", MEMBER) for number in range(250)]
    InvokerPolicy.from_dict(document(*roles, binding(INVOKER, MEMBER)))

    (logged,) = caplog.messages
    assert "'projects/p/roles/r99' and 150 more; pass custom_roles" in logged
