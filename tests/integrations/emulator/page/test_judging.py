"""What the page says of tokens and policies is what a door decides."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.emulator.interface import CONTROL_HEADER

AUDIENCE = "https://orders.example.com"


def policy(*members: str, **more: Any) -> str:
    return json.dumps({"bindings": [{"role": "roles/run.invoker", "members": list(members), **more}]})


CALLER = policy(f"serviceAccount:{DEFAULT_ACCOUNT}")


def ask(client: httpx.Client, what: str, /, **asked: Any) -> httpx.Response:
    return client.post(f"/doorward/v1/page/{what}", json=asked, headers={CONTROL_HEADER: "1"})


def explained(client: httpx.Client, token: str, **asked: Any) -> Any:
    return ask(client, "explain", token=token, **{"audience": AUDIENCE, "policy": CALLER, **asked}).json()


def test_a_token_that_the_policy_admits_is_explained_check_by_check(
    client: httpx.Client, emulator: Emulator
) -> None:
    found = explained(client, emulator.issuer.mint(AUDIENCE))

    assert (200, True, None) == (found["status"], found["admitted"], found["reason"])
    assert {"passed"} == {check["outcome"] for check in found["checks"]}
    assert [True] == [binding["grants"] for binding in found["policy"]["bindings"]]


def test_every_failed_check_comes_with_advice(client: httpx.Client, emulator: Emulator) -> None:
    found = explained(client, emulator.issuer.mint("https://other.example.com", lifetime=-10))

    failed = {check["name"]: check for check in found["checks"] if check["outcome"] == "failed"}
    assert (401, False, None) == (found["status"], found["admitted"], found["policy"])
    assert len(failed) >= 2
    assert all(check["advice"] for check in failed.values())


def test_a_caller_without_the_permission_is_a_403(client: httpx.Client, emulator: Emulator) -> None:
    found = explained(client, emulator.issuer.mint(AUDIENCE, email="other@shop.iam.gserviceaccount.com"))

    assert (403, "permission_denied") == (found["status"], found["reason"])
    assert found["advice"]


def test_a_token_is_taken_with_the_header_that_it_was_copied_with(
    client: httpx.Client, emulator: Emulator
) -> None:
    token = emulator.issuer.mint(AUDIENCE)

    for text in (f"Bearer {token}", f"Authorization: Bearer {token}", f"  {token}\n"):
        assert explained(client, text)["admitted"]


def test_a_condition_is_evaluated_for_the_request_that_is_given(
    client: httpx.Client, emulator: Emulator
) -> None:
    condition = {"title": "api", "expression": "request.path.startsWith('/api/')"}
    conditional = policy(f"serviceAccount:{DEFAULT_ACCOUNT}", condition=condition)
    token = emulator.issuer.mint(AUDIENCE)

    assert [True, False] == [
        explained(client, token, policy=conditional, path=path)["admitted"] for path in ("/api/x", "/x")
    ]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "<script>alert(1)</script>",
        "\u202e.\u0000.",
        "é" * 100,
        "." * 5_000,
        "eyJ" + "A" * 20_000,
    ],
)
def test_no_hostile_token_gets_more_than_a_refusal(token: str, client: httpx.Client) -> None:
    answer = ask(client, "explain", token=token, audience=AUDIENCE, policy=CALLER)

    assert (200, False) == (answer.status_code, answer.json()["admitted"])
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    "text", ["[", "7", '{"bindings": 7}', '{"bindings": [{"role": "roles/run.invoker", "members": ["<b>"]}]}']
)
def test_a_policy_that_cannot_be_used_is_said_in_a_sentence(
    text: str, client: httpx.Client, emulator: Emulator
) -> None:
    answer = ask(client, "explain", token="x", audience=AUDIENCE, policy=text)

    assert 422 == answer.status_code
    assert answer.json()["error"].startswith("The policy cannot be used")


def test_nothing_that_is_pasted_is_logged(
    client: httpx.Client, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    explained(client, emulator.issuer.mint("https://other.example.com"))

    assert [] == [record for record in caplog.records if record.name.startswith("doorward.door")]


def effect(client: httpx.Client, before: str, after: str) -> dict[str, list[str]]:
    found = ask(client, "effect", before=before, policy=after).json()
    return {kind: [one["name"] for one in found[kind]] for kind in ("gains", "loses", "admitted", "refused")}


def test_the_effect_names_who_gains(client: httpx.Client) -> None:
    assert {"gains": [DEFAULT_ACCOUNT], "loses": [], "admitted": [], "refused": ["no credential"]} == effect(
        client, "", CALLER
    )


def test_the_effect_names_who_loses(client: httpx.Client) -> None:
    assert {"gains": [], "loses": ["no credential"], "admitted": [DEFAULT_ACCOUNT], "refused": []} == effect(
        client, policy("allUsers"), CALLER
    )


def test_what_grants_nothing_in_a_new_policy_is_remarked(client: httpx.Client) -> None:
    custom = json.dumps({"bindings": [{"role": "projects/p/roles/mine", "members": ["allUsers"]}]})

    assert ask(client, "effect", before="", policy=custom).json()["remarks"]
