"""What the address of a service account tells."""

from __future__ import annotations

import pytest

from doorward.issuers.service_accounts import is_service_agent, project_of


@pytest.mark.parametrize(
    "email",
    [
        "service-1234567890@gcp-sa-pubsub.iam.gserviceaccount.com",
        "service-1@gcp-sa-iap.iam.gserviceaccount.com",
        "service-folder-1@gcp-sa-logging.iam.gserviceaccount.com",
        "service-org-1@gcp-sa-scc-notification.iam.gserviceaccount.com",
        "service-p1@gcp-sa-accessapproval.iam.gserviceaccount.com",
        "service-1@serverless-robot-prod.iam.gserviceaccount.com",
        "service-1@gcf-admin-robot.iam.gserviceaccount.com",
        "service-1@cloud-ml.google.com.iam.gserviceaccount.com",
        "project-1@storage-transfer-service.iam.gserviceaccount.com",
        "1234567890@cloudservices.gserviceaccount.com",
    ],
)
def test_a_service_agent_is_told_by_the_shape_of_its_address(email: str) -> None:
    assert is_service_agent(email)
    assert project_of(email) is None


@pytest.mark.parametrize(
    "email",
    [
        "",
        "caller@my-project.iam.gserviceaccount.com",
        "service-1@my-project.iam.gserviceaccount.com",
        "service-agent@gcp-sa-pubsub.iam.gserviceaccount.com",
        "service-@gcp-sa-pubsub.iam.gserviceaccount.com",
        "x-service-1@gcp-sa-pubsub.iam.gserviceaccount.com",
        "service-1@gcp-sa-.iam.gserviceaccount.com",
        "service-1@x-gcp-sa-pubsub.iam.gserviceaccount.com",
        "service-1@gcp-sa-pubsub.evil.iam.gserviceaccount.com",
        "service-1@gcp-sa-pubsub.iam.gserviceaccount.com.evil.example",
        "service-1@gcp-sa-pubsub.iam.gserviceaccount.com\n",
        "service-1@gcp-sa-pubsub.gserviceaccount.com",
        "service-1@cloud-mlxgoogle.com.iam.gserviceaccount.com",
        "service-\u0661@gcp-sa-pubsub.iam.gserviceaccount.com",
        "project-1@my-project.iam.gserviceaccount.com",
        "x@cloudservices.gserviceaccount.com",
        "1-compute@developer.gserviceaccount.com",
        "chat@system.gserviceaccount.com",
    ],
    ids=repr,
)
def test_no_other_address_is_one(email: str) -> None:
    assert not is_service_agent(email)


@pytest.mark.parametrize(
    ("email", "project"),
    [
        ("caller@my-project.iam.gserviceaccount.com", "my-project"),
        ("my-project@appspot.gserviceaccount.com", "my-project"),
        ("1-compute@developer.gserviceaccount.com", None),
        ("caller@my-project.example.com.iam.gserviceaccount.com", None),
        ("caller@.iam.gserviceaccount.com", None),
        ("caller@iam.gserviceaccount.com", None),
        ("caller@my-project.iam.gserviceaccount.com.evil.example", None),
        ("chat@system.gserviceaccount.com", None),
        ("", None),
    ],
)
def test_a_project_is_told_by_an_address_that_names_it(email: str, project: str | None) -> None:
    assert project == project_of(email)
