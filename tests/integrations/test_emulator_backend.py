"""The example of a backend that holds services and enforces their policies, driven as its users drive it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.emulator.server import LoopbackServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "emulator_backend.py"
PARENT = "projects/shop/locations/europe-west1"
ORDERS = f"{PARENT}/services/orders"
MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"
CALLER = """
import json, sys
import requests
from google.auth.compute_engine import IDTokenCredentials
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2.id_token import fetch_id_token

uri = sys.argv[1]
token = fetch_id_token(Request(), uri)
credentials = IDTokenCredentials(Request(), uri, use_metadata_identity_endpoint=True)
by_hand = requests.get(uri, headers={"authorization": f"Bearer {token}"})
with AuthorizedSession(credentials) as session:
    print(json.dumps([by_hand.status_code, session.get(uri).status_code]))
"""
GRANT = {"bindings": [{"role": "roles/run.invoker", "members": [MEMBER]}]}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Any]:
    with Emulator().serve() as running:
        yield running


@pytest.fixture
def backend(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", emulator.host)
    spec = importlib.util.spec_from_file_location("emulator_backend", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with (
        LoopbackServer(module.app) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client,
    ):
        yield client


def create(backend: httpx.Client, name: str = "orders") -> str:
    answer = backend.post(f"/v2/{PARENT}/services?serviceId={name}", json={"description": "takes orders"})
    assert 200 == answer.status_code, answer.text
    uri: str = answer.json()["response"]["uri"]
    return uri


def invoke(emulator: Any, backend: httpx.Client, uri: str, path: str = "", audience: str = "") -> int:
    metadata = f"{emulator.url}/computeMetadata/v1/instance/service-accounts/default/identity"
    flavor = {"metadata-flavor": "Google"}
    answer = httpx.get(metadata, params={"audience": audience or uri}, headers=flavor, trust_env=False)
    token = answer.raise_for_status().text
    return backend.get(f"{uri}{path}", headers={"authorization": f"Bearer {token}"}).status_code


def test_a_service_is_created_granted_invoked_and_deleted(emulator: Any, backend: httpx.Client) -> None:
    uri = create(backend)
    assert [403, 403] == [backend.get(uri).status_code, invoke(emulator, backend, uri)]
    assert 200 == backend.post(f"/v2/{ORDERS}:setIamPolicy", json={"policy": GRANT}).status_code
    assert [200, 200] == [invoke(emulator, backend, uri, path) for path in ("", "/a/b")]
    assert GRANT["bindings"] == backend.get(f"/v2/{ORDERS}:getIamPolicy").json()["bindings"]
    assert 200 == backend.post(f"/v2/{ORDERS}:setIamPolicy", json={"policy": {"bindings": []}}).status_code
    assert 403 == invoke(emulator, backend, uri)
    assert 200 == backend.delete(f"/v2/{ORDERS}").status_code
    assert [404, 404] == [invoke(emulator, backend, uri), backend.get(f"/v2/{ORDERS}").status_code]


@pytest.fixture
def client(backend: httpx.Client) -> Iterator[run_v2.ServicesClient]:
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # the library is not typed
    options = {"api_endpoint": str(backend.base_url).rstrip("/")}
    with run_v2.ServicesClient(credentials=credentials, transport="rest", client_options=options) as client:
        yield client


def finished(operation: Any) -> Any:
    """Return what an operation has come to; its type says nothing of that."""
    return operation.result(timeout=20)


def call_with_google_auth(emulator: Any, uri: str) -> list[int]:
    """Call with tokens of google-auth's own, in a process that knows of the emulator by its environment."""
    done = subprocess.run(
        [sys.executable, "-c", CALLER, uri],
        env={**os.environ, **emulator.environment(), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert 0 == done.returncode, done.stderr
    statuses: list[int] = json.loads(done.stdout)
    return statuses


def test_google_clients_create_grant_invoke_and_delete(emulator: Any, client: run_v2.ServicesClient) -> None:
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image="orders")])
    service = run_v2.Service(description="takes orders", template=template)
    created = finished(client.create_service(parent=PARENT, service=service, service_id="orders"))
    found = client.get_service(name=ORDERS)
    assert (ORDERS, "takes orders", "orders") == (
        found.name,
        found.description,
        found.template.containers[0].image,
    )
    assert created == found
    assert [403, 403] == call_with_google_auth(emulator, found.uri)

    policy = client.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=ORDERS))
    policy.bindings.add(role="roles/run.invoker", members=[MEMBER])
    client.set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=ORDERS, policy=policy))
    held = client.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=ORDERS))
    assert [MEMBER] == list(held.bindings[0].members)
    assert [200, 200] == call_with_google_auth(emulator, found.uri)

    deleted = finished(client.delete_service(name=ORDERS))
    assert ORDERS == deleted.name
    with pytest.raises(NotFound):
        client.get_service(name=ORDERS)
    assert [404, 404] == call_with_google_auth(emulator, found.uri)


def test_a_mistake_reaches_the_google_client_as_an_error_of_its_own(client: run_v2.ServicesClient) -> None:
    finished(client.create_service(parent=PARENT, service=run_v2.Service(), service_id="orders"))
    with pytest.raises(Conflict, match="already exists"):
        client.create_service(parent=PARENT, service=run_v2.Service(), service_id="orders")
    policy = policy_pb2.Policy()
    policy.bindings.add(role="roles/run.invoker", members=["caller"])
    with pytest.raises(BadRequest, match="caller"):
        client.set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=ORDERS, policy=policy))


def test_a_token_for_one_service_opens_no_other(emulator: Any, backend: httpx.Client) -> None:
    uris = [create(backend, name) for name in ("orders", "bills")]
    for name in ("orders", "bills"):
        backend.post(f"/v2/{PARENT}/services/{name}:setIamPolicy", json={"policy": GRANT})
    first, second = uris
    assert [200, 401] == [invoke(emulator, backend, first, "", audience) for audience in (first, second)]
    assert 404 == invoke(emulator, backend, first, "/../bills%2f..")


def test_a_policy_that_is_not_understood_changes_nothing(emulator: Any, backend: httpx.Client) -> None:
    uri = create(backend)
    backend.post(f"/v2/{ORDERS}:setIamPolicy", json={"policy": GRANT})
    answer = backend.post(f"/v2/{ORDERS}:setIamPolicy", json={"policy": {"bindings": [{"role": 1}]}})
    assert (400, "INVALID_ARGUMENT") == (answer.status_code, answer.json()["error"]["status"])
    assert 200 == invoke(emulator, backend, uri)


def test_a_service_of_a_taken_name_is_refused(backend: httpx.Client) -> None:
    create(backend)
    answer = backend.post(f"/v2/{PARENT}/services?serviceId=orders", json={})
    assert (409, "ALREADY_EXISTS") == (answer.status_code, answer.json()["error"]["status"])


def test_an_unknown_service_is_answered_as_the_front_end_does(backend: httpx.Client) -> None:
    answer = backend.get("/run/unknown")
    assert (404, True) == (answer.status_code, "was not found on this server" in answer.text)


def test_the_example_is_short_and_its_page_quotes_it_whole() -> None:
    text = EXAMPLE.read_text()
    assert 100 > len(text.splitlines())
    assert f"```python\n{text}```" in (ROOT / "docs" / "services.md").read_text()
