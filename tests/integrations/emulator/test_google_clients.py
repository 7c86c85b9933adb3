"""Google's own client, unmodified: it fetches tokens, and verifies them with either form of the keys.

It reads where the metadata server is when it is imported, so it runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.types import Receive, Scope, Send

from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    EmulatedIssuer,
    Emulator,
    LoopbackServer,
    SigningKey,
    create_app,
)
from support.tokens import AUDIENCE, rsa_key

OTHER = "other@doorward-demo.iam.gserviceaccount.com"

CLIENT = """
import json, sys
import google.auth.transport.requests
from google.oauth2 import id_token

request = google.auth.transport.requests.Request()
audience, *certs_urls = sys.argv[1:]
token = id_token.fetch_id_token(request, audience)
verified = [id_token.verify_token(token, request, audience, certs_url=url) for url in certs_urls]
print(json.dumps({"token": token, "verified": verified}))
"""

CREDENTIALS = """
import json
import google.auth
import google.auth.transport.requests

credentials, project = google.auth.default()
credentials.refresh(google.auth.transport.requests.Request())
print(json.dumps({
    "email": credentials.service_account_email,
    "project": project,
    "token": credentials.token,
    "universe": credentials.universe_domain,
}))
"""


def run(variables: dict[str, str], program: str, *arguments: str) -> Any:
    """Run a program in an environment of these variables, and return what it prints."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=kept | {"NO_PROXY": "*", "HOME": os.devnull} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def emulator() -> Emulator:
    """Return an emulator on the system's clock, which Google's client uses too."""
    names = iter(("emulated-0", "emulated-1", "emulated-2"))
    return Emulator(EmulatedIssuer(make_key=lambda: SigningKey(rsa_key(next(names)))))


def test_a_token_is_fetched_and_verified_with_both_forms_of_the_keys(emulator: Emulator) -> None:
    before = int(time.time())
    with emulator.serve() as running:
        urls = [f"{running.url}/oauth2/{version}/certs" for version in ("v1", "v3")]
        printed = run(running.environment(), CLIENT, AUDIENCE, *urls)

    by_certificate, by_jwk = printed["verified"]
    assert by_certificate == by_jwk
    assert [AUDIENCE, DEFAULT_ACCOUNT] == [by_jwk["aud"], by_jwk["email"]]
    assert before <= by_jwk["iat"] == by_jwk["exp"] - 3_600
    assert 2 == emulator.certs.fetches


def test_the_account_that_is_fetched_for_is_the_one_in_use(emulator: Emulator) -> None:
    emulator.accounts.use(OTHER)
    with emulator.serve() as running:
        printed = run(running.environment(), CLIENT, AUDIENCE, f"{running.url}/oauth2/v1/certs")

    assert OTHER == printed["verified"][0]["email"]


def test_a_token_bound_to_a_certificate_is_asked_for_by_post(emulator: Emulator, tmp_path: Path) -> None:
    key = rsa_key("agent")
    name = x509.Name([])
    now = datetime.now(UTC)
    agent = "spiffe://agents.global.org-1.system.id.goog/agent"
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(agent)]), critical=True)
        .sign(key, SHA256())
    )
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    config = tmp_path / "certificate_config.json"
    config.write_text(json.dumps({"cert_configs": {"workload": {"cert_path": str(chain)}}}))
    app = create_app(emulator)
    asked: list[tuple[str, str]] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asked.append((scope["method"], scope["path"]))
        await app(scope, receive, send)

    with LoopbackServer(watched) as server:
        variables = {"GCE_METADATA_HOST": server.host, "GCE_METADATA_IP": server.host}
        variables["GOOGLE_API_CERTIFICATE_CONFIG"] = str(config)
        printed = run(variables, CLIENT, AUDIENCE, f"{server.url}/oauth2/v3/certs")

    assert ("POST", "/computeMetadata/v1/instance/service-accounts/default/identity") in asked
    assert AUDIENCE == printed["verified"][0]["aud"]


def test_the_default_credentials_are_the_emulated_machines(emulator: Emulator) -> None:
    with emulator.serve() as running:
        printed = run(running.environment(), CREDENTIALS)

    assert DEFAULT_ACCOUNT == printed["email"]
    assert "doorward-demo" == printed["project"]
    assert "googleapis.com" == printed["universe"]
    assert printed["token"].startswith("ya29.fake-from-doorward-emulator.")
