from __future__ import annotations

import pytest

from doorward.policy.roles import INVOKE, INVOKER_ROLES


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
