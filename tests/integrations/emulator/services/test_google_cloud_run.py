"""Google's own client of Cloud Run, unmodified, over REST."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.api_core.exceptions import BadRequest, Conflict
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, options_pb2, policy_pb2
from google.type import expr_pb2

from doorward_integrations.emulator import Emulator

SERVICE = "projects/demo/locations/europe-west1/services/orders"
CALLER = "serviceAccount:caller@demo.iam.gserviceaccount.com"


@pytest.fixture
def services(emulator: Emulator) -> Iterator[run_v2.ServicesClient]:
    with emulator.serve() as running:
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # the library is not typed
        options = {"api_endpoint": running.url}
        client = run_v2.ServicesClient(credentials=credentials, transport="rest", client_options=options)
        with client:
            yield client


def read(services: run_v2.ServicesClient) -> policy_pb2.Policy:
    options = options_pb2.GetPolicyOptions(requested_policy_version=3)
    return services.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=SERVICE, options=options))


def write(services: run_v2.ServicesClient, policy: policy_pb2.Policy) -> policy_pb2.Policy:
    return services.set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=SERVICE, policy=policy))


def test_it_reads_changes_and_sets_a_policy(services: run_v2.ServicesClient, emulator: Emulator) -> None:
    policy = read(services)
    policy.bindings.add(role="roles/run.invoker", members=[CALLER])
    written = write(services, policy)

    assert [CALLER] == list(read(services).bindings[0].members)
    assert written.etag == read(services).etag != policy.etag
    assert [CALLER] == emulator.services.get(SERVICE)["bindings"][0]["members"]


def test_it_sets_a_binding_with_a_condition(services: run_v2.ServicesClient) -> None:
    policy = read(services)
    policy.version = 3
    condition = expr_pb2.Expr(title="only a", expression='request.path == "/a"')
    policy.bindings.add(role="roles/run.invoker", members=["allUsers"], condition=condition)
    write(services, policy)

    assert 3 == read(services).version
    assert condition == read(services).bindings[0].condition


def test_it_is_answered_that_another_policy_was_set_meanwhile(services: run_v2.ServicesClient) -> None:
    policy = read(services)
    write(services, policy)

    with pytest.raises(Conflict, match="concurrent policy changes"):
        write(services, policy)


def test_it_is_answered_what_is_wrong_with_a_policy(services: run_v2.ServicesClient) -> None:
    policy = policy_pb2.Policy()
    policy.bindings.add(role="roles/run.invoker", members=["caller"])

    with pytest.raises(BadRequest, match="'caller'"):
        write(services, policy)


def test_it_tests_permissions(services: run_v2.ServicesClient) -> None:
    policy = policy_pb2.Policy()
    policy.bindings.add(role="roles/run.invoker", members=["allUsers"])
    write(services, policy)
    asked = iam_policy_pb2.TestIamPermissionsRequest(resource=SERVICE, permissions=["run.routes.invoke"])

    assert ["run.routes.invoke"] == list(services.test_iam_permissions(asked).permissions)
