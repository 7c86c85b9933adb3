"""Clients whose addresses are fixed, and that get their tokens for a credential of a service account."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.commands import call

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="exec needs process groups")

CALLER = "caller@doorward-demo.iam.gserviceaccount.com"
TARGET = "target@doorward-demo.iam.gserviceaccount.com"
MAY_ACT = {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"serviceAccount:{CALLER}"]}

IMPERSONATED = """
import google.auth, google.auth.transport.requests, sys
from google.auth import impersonated_credentials
from google.oauth2 import id_token

target, audience = sys.argv[1:]
request = google.auth.transport.requests.Request()
source, _ = google.auth.default()
scopes = ["https://www.googleapis.com/auth/cloud-platform"]
as_target = impersonated_credentials.Credentials(source, target, scopes)
credentials = impersonated_credentials.IDTokenCredentials(as_target, audience, include_email=True)
credentials.refresh(request)
print(id_token.verify_oauth2_token(credentials.token, request, audience)["email"])
"""
WITH_KEY = """
import os, subprocess, sys
from google.oauth2 import id_token
import google.auth.transport.requests

doorward, target, audience, file = sys.argv[1:]
subprocess.run([sys.executable, "-c", doorward, "emulator", "key", target, "--out", file], check=True)
os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = file
request = google.auth.transport.requests.Request()
token = id_token.fetch_id_token(request, audience)
print(id_token.verify_oauth2_token(token, request, audience)["email"])
"""
DOORWARD = "from doorward_integrations.cli.main import main; raise SystemExit(main())"


@pytest.fixture
def identities(tmp_path: Path) -> str:
    """Return a file by which the machine's account may act as another."""
    file = tmp_path / "identities.json"
    accounts = {CALLER: {}, TARGET: {"bindings": [MAY_ACT]}}
    file.write_text(json.dumps({"service_accounts": accounts, "attached": [CALLER]}))
    return str(file)


def offline(identities: str, *command: str) -> str:
    """Run Python in an emulator, with nothing else to reach, and return the last line that it prints."""
    done = call("emulator", "exec", "--offline", "--identities", identities, "--", *command)
    assert (0, "doorward emulator: nothing was refused\n") == (done.returncode, done.stderr)
    return done.stdout.splitlines()[-1]


def test_google_auth_gets_an_id_token_of_another_account_by_impersonation(identities: str) -> None:
    audience = "https://orders.example.com"

    assert TARGET == offline(identities, sys.executable, "-c", IMPERSONATED, TARGET, audience)


def test_google_auth_gets_an_id_token_for_a_key_file(identities: str, tmp_path: Path) -> None:
    arguments = (DOORWARD, TARGET, "https://orders.example.com", str(tmp_path / "key.json"))

    assert TARGET == offline(identities, sys.executable, "-c", WITH_KEY, *arguments)
