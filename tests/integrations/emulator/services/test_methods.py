"""The methods of IAM over REST, as gcloud and Terraform send them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from doorward_integrations.emulator import Account, Emulator

PLACE = "projects/demo/locations/europe-west1"
V1 = f"/v1/{PLACE}/services/orders"
V2 = f"/v2/{PLACE}/services/orders"
CALLER = "serviceAccount:caller@demo.iam.gserviceaccount.com"
INVOKER = {"role": "roles/run.invoker", "members": [CALLER]}
CONDITION = {"expression": 'request.path.startsWith("/a")', "title": "only a"}
CONDITIONAL = INVOKER | {"condition": CONDITION}
EITHER = pytest.mark.parametrize("path", [V1, V2])


def put(client: httpx.Client, policy: Any, path: str = V2, **more: Any) -> httpx.Response:
    return client.post(f"{path}:setIamPolicy", json={"policy": policy, **more})


def get(client: httpx.Client, path: str = V2, version: int = 3) -> dict[str, Any]:
    asked: dict[str, str | int] = {"options.requestedPolicyVersion": version, "alt": "json"}
    answer = client.get(f"{path}:getIamPolicy", params=asked)
    assert 200 == answer.status_code, answer.text
    policy: dict[str, Any] = answer.json()
    return policy


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    """Return the error of an answer in Google's form: code, status, message."""
    error = answer.json()["error"]
    assert ["code", "message", "status"] == list(error)
    assert answer.status_code == error["code"]
    return error["code"], error["status"], error["message"]


@EITHER
def test_a_policy_that_was_never_set_is_an_etag_alone(path: str, client: httpx.Client) -> None:
    assert {"etag": "ACAB"} == get(client, path)


@EITHER
def test_gcloud_adds_a_binding_by_reading_and_setting(path: str, client: httpx.Client) -> None:
    before = get(client, path)
    answer = put(client, {**before, "bindings": [INVOKER], "version": 3}, path, updateMask="bindings,etag")

    assert 200 == answer.status_code
    assert [INVOKER] == answer.json()["bindings"]
    assert before["etag"] != answer.json()["etag"]
    assert answer.json() == get(client, path)


def test_both_versions_of_the_api_and_a_function_have_the_policy_of_one_service(client: httpx.Client) -> None:
    put(client, {"bindings": [INVOKER]}, f"/v2/{PLACE}/functions/Orders")

    assert [INVOKER] == get(client, V1)["bindings"] == get(client, V2)["bindings"]
    assert {"etag": "ACAB"} == get(client, f"/v2/{PLACE}/services/other")


def test_terraform_sets_a_whole_policy_with_the_etag_that_it_has_read(client: httpx.Client) -> None:
    put(client, {"bindings": [INVOKER]}, V1)
    read = get(client, V1)
    viewer = {"role": "roles/run.viewer", "members": ["group:readers@example.com"]}
    first = put(client, {"bindings": [INVOKER, viewer], "etag": read["etag"]}, V1)
    late = put(client, {"bindings": [], "etag": read["etag"]}, V1)

    assert 200 == first.status_code
    code, status, message = refused(late)
    assert (409, "ABORTED") == (code, status)
    assert "There were concurrent policy changes" in message
    assert [INVOKER, viewer] == get(client, V1)["bindings"]


def test_an_etag_in_either_alphabet_of_base64_is_the_same(client: httpx.Client, emulator: Emulator) -> None:
    etag = ""
    for _ in range(1_000):
        etag = emulator.services.set(f"{PLACE}/services/orders", {"bindings": [INVOKER]})["etag"]
        if set("+/") & set(etag):
            break
    safe = etag.replace("+", "-").replace("/", "_")

    assert safe != etag
    assert 200 == put(client, {"bindings": [], "etag": safe}).status_code


def test_a_policy_without_an_etag_takes_the_place_of_any(client: httpx.Client) -> None:
    put(client, {"bindings": [CONDITIONAL], "version": 3})

    assert 200 == put(client, {"bindings": [INVOKER]}).status_code
    assert ([INVOKER], 1) == (get(client)["bindings"], get(client)["version"])


@pytest.mark.parametrize("version", [None, 0, 1])
def test_a_condition_needs_version_3(version: int | None, client: httpx.Client) -> None:
    bad = put(client, {"bindings": [CONDITIONAL], "version": version})
    good = put(client, {"bindings": [CONDITIONAL], "version": 3})
    over = put(client, {"bindings": [INVOKER], "version": version, "etag": good.json()["etag"]})

    assert "version' to 3" in refused(bad)[2]
    assert 3 == good.json()["version"]
    assert "version' to 3" in refused(over)[2]
    assert [CONDITIONAL] == get(client)["bindings"]


@pytest.mark.parametrize("version", [0, 1])
def test_a_reader_of_an_older_version_sees_no_condition_and_a_role_that_grants_nothing(
    version: int, client: httpx.Client
) -> None:
    put(client, {"bindings": [CONDITIONAL, INVOKER], "version": 3})
    policy = get(client, version=version)

    assert 1 == policy["version"]
    hidden, plain = policy["bindings"]
    assert hidden["role"].startswith("roles/run.invoker_withcond_")
    assert "condition" not in hidden
    assert INVOKER == plain
    code, status, message = refused(put(client, policy | {"version": 3}))
    assert (400, "INVALID_ARGUMENT") == (code, status)
    assert "requestedPolicyVersion=3" in message


def test_a_mask_says_what_is_replaced(client: httpx.Client) -> None:
    audit = [{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]
    put(client, {"bindings": [INVOKER], "auditConfigs": audit})
    assert "auditConfigs" not in get(client)  # it is not in the mask that holds by default
    put(client, {"auditConfigs": audit}, updateMask="auditConfigs")
    assert ([INVOKER], audit) == (get(client)["bindings"], get(client)["auditConfigs"])
    put(client, {}, update_mask="bindings,etag")
    assert "bindings" not in get(client)
    assert audit == get(client)["auditConfigs"]


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (None, "must be an object"),
        ([], "must be an object"),
        ({"binding": []}, "unknown name 'binding'"),
        ({"version": 2}, "version 2 is not valid"),
        ({"version": "3"}, "version '3' is not valid"),
        ({"version": True}, "version True is not valid"),
        ({"etag": "%"}, "base64 decoding failed"),
        ({"etag": 1}, "must be a string"),
        ({"bindings": {}}, "must be a list"),
        ({"bindings": [1]}, "must be a list of objects"),
        ({"auditConfigs": {}}, "must be a list"),
        ({"bindings": [{"members": [CALLER]}]}, "Role None is not valid"),
        ({"bindings": [{"role": "run.invoker"}]}, "write roles/NAME"),
        ({"bindings": [{"role": "roles/run.invokr"}]}, "did you mean 'roles/run.invoker'"),
        ({"bindings": [{"role": "roles/run.invoker", "member": []}]}, "unknown member 'member'"),
        ({"bindings": [{"role": "roles/run.invoker", "members": "allUsers"}]}, "must be a list"),
        ({"bindings": [{"role": "roles/run.viewer", "members": ["someone"]}]}, "'someone'"),
        ({"bindings": [{"role": "roles/run.viewer", "members": [1]}]}, "must be a string, not int"),
        ({"bindings": [INVOKER | {"condition": {"expression": "a("}}], "version": 3}, "Syntax error"),
        ({"bindings": [INVOKER | {"condition": {"title": "a"}}], "version": 3}, "no expression"),
        ({"bindings": [INVOKER | {"members": ["allUsers"] * 1_501}]}, "1501 principals"),
        ({"bindings": [INVOKER | {"members": ["group:a@b.c"] * 251}]}, "251 of them groups"),
        ({"bindings": [INVOKER] * 1_000}, "larger than 65536 bytes"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_bad_policy_is_refused_and_changes_nothing(policy: Any, why: str, client: httpx.Client) -> None:
    put(client, {"bindings": [INVOKER]})
    before = get(client)
    code, status, message = refused(put(client, policy))

    assert (400, "INVALID_ARGUMENT") == (code, status)
    assert why in message
    assert before == get(client)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no 'policy'"),
        (b"[]", "Invalid JSON payload"),
        (b'{"policy": {}, "policy": {}}', "twice"),
        (b'{"policy": {}, "etag": ""}', "unknown name 'etag'"),
        (b'{"policy": {}, "updateMask": "members"}', "update_mask"),
        (b'{"policy": {}, "updateMask": 1}', "update_mask"),
        (b'{"policy": {"version": NaN}}', "Invalid JSON payload"),
        (b" " * 300_000, "larger than"),
        (b"[" * 100_000, "Invalid JSON payload"),
    ],
    ids=["empty", "array", "doubled", "unknown", "mask", "mask type", "nan", "long", "deep"],
)
def test_a_bad_request_is_refused(body: bytes, why: str, client: httpx.Client) -> None:
    code, status, message = refused(
        client.post(f"{V2}:setIamPolicy", content=body, headers={"content-type": "application/json"})
    )

    assert (400, "INVALID_ARGUMENT") == (code, status)
    assert why in message


@pytest.mark.parametrize("service", ["Orders", "-orders", "orders-", "o" * 64, "or_ders"])
def test_a_name_that_no_service_can_have_is_refused(service: str, client: httpx.Client) -> None:
    answer = client.get(f"/v2/{PLACE}/services/{service}:getIamPolicy")

    assert (400, "INVALID_ARGUMENT") == refused(answer)[:2]


@pytest.mark.parametrize("version", ["2", "4", "x", "03"])
def test_a_version_that_is_not_one_is_refused(version: str, client: httpx.Client) -> None:
    answer = client.get(f"{V2}:getIamPolicy", params={"options.requestedPolicyVersion": version})

    assert (400, "INVALID_ARGUMENT") == refused(answer)[:2]


def test_a_custom_role_and_a_group_are_kept_without_being_understood(client: httpx.Client) -> None:
    custom = {"role": "projects/demo/roles/caller", "members": ["group:all@example.com"]}
    put(client, {"bindings": [custom]})

    assert [custom] == get(client)["bindings"]


def permissions(client: httpx.Client, *asked: str, token: str | None = None) -> dict[str, Any]:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = client.post(f"{V1}:testIamPermissions", json={"permissions": asked}, headers=headers)
    assert 200 == answer.status_code, answer.text
    held: dict[str, Any] = answer.json()
    return held


def test_an_anonymous_caller_holds_what_everyone_holds(client: httpx.Client) -> None:
    put(client, {"bindings": [INVOKER]})
    assert {} == permissions(client, "run.routes.invoke")
    put(client, {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]})
    held = permissions(client, "run.routes.invoke", "run.services.delete")
    assert {"permissions": ["run.routes.invoke"]} == held


def test_a_caller_with_an_access_token_of_the_emulator_holds_what_it_is_granted(
    emulator: Emulator, client: httpx.Client
) -> None:
    put(client, {"bindings": [INVOKER]})
    granted = emulator.access_tokens.issue(Account(CALLER.removeprefix("serviceAccount:")), ["scope"])
    other = emulator.access_tokens.issue(Account("other@demo.iam.gserviceaccount.com"), ["scope"])
    invoke = "run.routes.invoke"

    assert {"permissions": [invoke]} == permissions(client, invoke, token=granted)
    for token in (other, f"{granted}x", "unknown"):
        assert {} == permissions(client, invoke, token=token)


@pytest.mark.parametrize("asked", [["*"], ["run.*"], ["invoke"], [1], "run.routes.invoke"])
def test_what_is_no_permission_is_refused(asked: Any, client: httpx.Client) -> None:
    answer = client.post(f"{V2}:testIamPermissions", json={"permissions": asked})

    assert (400, "INVALID_ARGUMENT") == refused(answer)[:2]


def test_a_credential_changes_nothing_for_who_may_set_a_policy(client: httpx.Client) -> None:
    headers = {"authorization": "Bearer anything"}
    answer = client.post(f"{V2}:setIamPolicy", json={"policy": {"bindings": [INVOKER]}}, headers=headers)

    assert 200 == answer.status_code
    assert json.dumps(INVOKER) in json.dumps(get(client))


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_what_a_page_of_another_site_can_send_changes_nothing(kind: str | None, client: httpx.Client) -> None:
    headers = {} if kind is None else {"content-type": kind}
    body = json.dumps({"policy": {"bindings": [INVOKER]}}).encode()
    answer = client.post(f"{V2}:setIamPolicy", content=body, headers=headers)

    assert (400, "INVALID_ARGUMENT") == refused(answer)[:2]
    assert {"etag": "ACAB"} == get(client)


def test_a_page_of_another_site_follows_no_policy(emulator: Emulator, client: httpx.Client) -> None:
    asked = {"service": f"{PLACE}/services/orders", "follower": "page", "seen": "0"}
    answer = client.get("/doorward/v1/policies:follow", params=asked)

    assert (403, "PERMISSION_DENIED") == refused(answer)[:2]


@pytest.mark.parametrize(
    "changed", [{"service": "orders"}, {"follower": ""}, {"follower": "a" * 65}, {"seen": "x"}], ids=str
)
def test_a_door_that_asks_in_another_way_is_refused(changed: dict[str, str], client: httpx.Client) -> None:
    asked = {"service": f"{PLACE}/services/orders", "follower": "door", "seen": "-1"} | changed
    headers = {"x-doorward-emulator": "1"}
    answer = client.get("/doorward/v1/policies:follow", params=asked, headers=headers)

    assert (400, "INVALID_ARGUMENT") == refused(answer)[:2]
