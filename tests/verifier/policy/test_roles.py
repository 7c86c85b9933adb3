from __future__ import annotations

import pytest

from doorward import PolicyError
from doorward.policy.roles import (
    ACCESS_VIA_IAP,
    INVOKE,
    INVOKE_FUNCTION,
    INVOKE_INSTANCE,
    INVOKER_ROLES,
    ROLES,
    check_permission,
    narrowest_role,
    role_holds,
)


def test_the_permission_is_the_one_that_the_invoker_check_asks_for() -> None:
    assert "run.routes.invoke" == INVOKE


def test_28_predefined_roles_hold_it() -> None:
    assert 28 == len(INVOKER_ROLES)
    assert all(role.startswith("roles/") for role in INVOKER_ROLES)


@pytest.mark.parametrize(
    "role",
    [
        "roles/run.invoker",
        "roles/run.servicesInvoker",
        "roles/run.admin",
        "roles/run.developer",
        "roles/run.editor",
        "roles/run.sourceDeveloper",
        "roles/owner",
        "roles/editor",
        "roles/cloudfunctions.admin",
        "roles/cloudfunctions.developer",
        "roles/cloudfunctions.editor",
        "roles/firebase.admin",
        "roles/firebase.developAdmin",
        "roles/iam.dataScientist",
        "roles/iam.devOps",
        "roles/iam.mlEngineer",
        "roles/run.serviceAgent",
        "roles/serverless.serviceAgent",
        "roles/cloudfunctions.serviceAgent",
        "roles/aiplatform.serviceAgent",
        "roles/ces.serviceAgent",
        "roles/dialogflow.serviceAgent",
        "roles/firebaseapphosting.serviceAgent",
        "roles/firebasedataconnect.serviceAgent",
        "roles/integrations.serviceAgent",
        "roles/monitoring.notificationServiceAgent",
        "roles/spanner.serviceAgent",
        "roles/visionai.serviceAgent",
    ],
)
def test_a_role_that_holds_it_is_named(role: str) -> None:
    assert role in INVOKER_ROLES


@pytest.mark.parametrize(
    "role",
    [
        "roles/cloudfunctions.invoker",
        "roles/run.viewer",
        "roles/viewer",
        "roles/run.jobsExecutor",
        "roles/run.builder",
        "roles/iap.httpsResourceAccessor",
        "roles/browser",
        "roles/run.invoke",
        "roles/Run.Invoker",
        "run.invoker",
        "",
    ],
)
def test_a_role_that_does_not_hold_it_is_not(role: str) -> None:
    assert role not in INVOKER_ROLES


@pytest.mark.parametrize(
    ("permission", "expected"),
    [(INVOKE, 28), (INVOKE_INSTANCE, 16), (INVOKE_FUNCTION, 17), (ACCESS_VIA_IAP, 1)],
)
def test_so_many_predefined_roles_hold_each_permission(permission: str, expected: int) -> None:
    assert expected == len(ROLES[permission])
    assert narrowest_role(permission) in ROLES[permission]


@pytest.mark.parametrize(
    ("role", "permission", "expected"),
    [
        ("roles/run.invoker", INVOKE_INSTANCE, True),
        ("roles/run.servicesInvoker", INVOKE_INSTANCE, False),
        ("roles/run.servicesInvoker", INVOKE, True),
        ("roles/cloudfunctions.invoker", INVOKE_FUNCTION, True),
        ("roles/cloudfunctions.invoker", INVOKE, False),
        ("roles/run.invoker", INVOKE_FUNCTION, False),
        ("roles/iap.httpsResourceAccessor", ACCESS_VIA_IAP, True),
        ("roles/iap.admin", ACCESS_VIA_IAP, False),
        ("roles/owner", ACCESS_VIA_IAP, False),
    ],
)
def test_a_role_holds_what_its_definition_lists(role: str, permission: str, *, expected: bool) -> None:
    assert expected == role_holds(role, permission, {})


def test_a_permission_whose_roles_are_not_known_cannot_be_asked_for() -> None:
    with pytest.raises(PolicyError, match=r"known are run\.routes\.invoke"):
        check_permission("run.services.get")


@pytest.mark.parametrize(
    "role", ["roles/run.invoker_withcond_0123456789abcdef", "projects/p/roles/r_withcond_01"]
)
def test_a_role_that_hides_its_condition_is_refused(role: str) -> None:
    """A policy that is read in version 1 has such roles in the place of conditions."""
    with pytest.raises(PolicyError, match="version 3"):
        role_holds(role, INVOKE, {})


def test_a_role_that_hides_its_condition_does_not_matter_where_it_grants_nothing() -> None:
    assert not role_holds("roles/run.viewer_withcond_0123", INVOKE, {})
