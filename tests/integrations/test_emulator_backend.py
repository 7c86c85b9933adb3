"""The example of a backend that holds services and enforces their policies, driven as its users drive it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.emulator.server import LoopbackServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "emulator_backend.py"
PARENT = "projects/shop/locations/europe-west1"
ORDERS = f"{PARENT}/services/orders"
MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"
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
