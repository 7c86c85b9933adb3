"""The main job, as a newcomer runs it, and what it says when something is not as it should be."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from doorward_integrations.cli import demonstration as demo_module
from doorward_integrations.cli.demonstration import _Row

COMMAND = (
    sys.executable,
    "-c",
    "import sys; from doorward_integrations.cli.main import main; sys.exit(main())",
    "demo",
)


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_demo_shows_every_row_as_expected_and_ends_with_0() -> None:
    done = _run()

    assert 0 == done.returncode, done.stdout + done.stderr
    table = [line for line in done.stdout.splitlines() if line.endswith(" ok")]
    assert 20 == len(table)
    expected = {
        "a service account that the policy names": "200 caller",
        "no credential": "403 no_credential",
        "not a JWT": "401 malformed",
        "its payload tampered with": "401 bad_signature",
        "signed with a foreign key, under a known key id": "401 bad_signature",
        "for another audience": "401 wrong_audience",
        "expired": "401 expired",
        "a service account that the policy does not name": "403 permission_denied",
        "signed with a new key, after a rotation": "200 caller",
        "signed with the key before it": "200 caller",
        "key endpoint down before any key was seen": "503 keys_unavailable",
        "key endpoint up again": "200 caller",
        "key endpoint down after keys were seen": "200 caller",
        "function A calls function B, which no one may": "403 permission_denied",
        "once setIamPolicy has granted it to A": "200 hello from b",
        "once setIamPolicy has withdrawn it": "403 permission_denied",
        "a Pub/Sub message for an event-driven function": "204 received 1",
        "function A at that function": "403 permission_denied",
        "a static server behind the gateway": "200 a static file",
        "the same without a credential": "403 refused",
    }
    for request, answer in expected.items():
        assert [2] == [line.count(answer) for line in table if line.startswith(f"{request} ")], request
    assert "eyJ" not in done.stdout + done.stderr


def test_a_proxy_and_credentials_meant_for_elsewhere_do_not_disturb_the_demo() -> None:
    done = _run(HTTP_PROXY="http://127.0.0.1:9", GOOGLE_APPLICATION_CREDENTIALS="/nowhere.json")

    assert 0 == done.returncode, done.stdout + done.stderr


def test_on_cloud_run_the_demo_refuses_and_says_why() -> None:
    done = _run(K_SERVICE="orders")

    assert 2 == done.returncode
    assert "DOORWARD_EMULATOR_HOST is set on Cloud Run" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_answer_that_is_not_as_expected_ends_the_demo_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(*_: object) -> Iterator[_Row]:
        yield _Row("as it should be", "403 no_credential", "403 no_credential")
        yield _Row("not as it should be", "403 no_credential", "200 admitted")

    monkeypatch.setattr(demo_module, "_rows", rows)
    monkeypatch.setattr(demo_module, "_function_rows", lambda *_: iter(()))
    monkeypatch.setattr(demo_module, "_gateway_rows", lambda _fetch: iter(()))
    monkeypatch.setattr(demo_module, "_google_client", lambda: None)
    out = io.StringIO()

    assert 1 == demo_module.demo(out)
    assert "1 of 2 answers NOT as expected" in out.getvalue()
    assert "WRONG" in out.getvalue()


def test_the_demo_leaves_the_environment_as_it_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_rows", "_function_rows", "_gateway_rows"):
        monkeypatch.setattr(demo_module, name, lambda *_: iter(()))
    monkeypatch.setattr(demo_module, "_google_client", lambda: None)
    before = dict(os.environ)

    demo_module.demo(io.StringIO())

    assert before == dict(os.environ)
