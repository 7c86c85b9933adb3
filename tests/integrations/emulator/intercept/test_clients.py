"""Unmodified clients whose addresses are fixed, run by ``doorward emulator exec --intercept``."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from doorward_integrations.emulator import DEFAULT_ACCOUNT
from support.commands import call
from support.tokens import AUDIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="exec needs process groups")

# What another program has in its environment for another place must not lead past the proxy.
ELSEWHERE = {"NO_PROXY": "*", "no_proxy": "googleapis.com", "SSL_CERT_FILE": "/nothing"}

VERIFY = """
import json, sys
import google.auth.transport.requests
from google.oauth2 import id_token

request = google.auth.transport.requests.Request()
token = id_token.fetch_id_token(request, sys.argv[1])
print(json.dumps(id_token.verify_oauth2_token(token, request, sys.argv[1])))
"""
ELSEWHERE_CALL = """
import requests
for url in ("https://example.com/", "http://example.com/"):
    try:
        print(requests.get(url, timeout=20).status_code)
    except requests.exceptions.ProxyError:
        print("no proxy")
"""
HTTPX = """
import httpx
print(httpx.get("https://www.googleapis.com/oauth2/v3/certs").status_code)
"""


def test_google_auth_verifies_a_token_with_the_keys_of_its_fixed_address() -> None:
    done = call(
        "emulator", "exec", "--intercept", "--", sys.executable, "-c", VERIFY, AUDIENCE, environ=ELSEWHERE
    )

    assert (0, "") == (done.returncode, done.stderr)
    claims = json.loads(done.stdout)
    assert (AUDIENCE, DEFAULT_ACCOUNT) == (claims["aud"], claims["email"])


def test_offline_proves_that_nothing_leaves_and_says_what_was_asked_for() -> None:
    done = call(
        "emulator", "exec", "--offline", "--", sys.executable, "-c", ELSEWHERE_CALL, environ=ELSEWHERE
    )

    assert (0, "no proxy\n403\n") == (done.returncode, done.stdout)
    assert [
        "doorward emulator: refused example.com:443, 1 times",
        "doorward emulator: refused example.com:80, 1 times",
    ] == [line for line in done.stderr.splitlines() if line.startswith("doorward")]


def test_offline_says_so_where_nothing_was_refused() -> None:
    done = call("emulator", "exec", "--offline", "--", sys.executable, "-c", HTTPX, environ=ELSEWHERE)

    assert ("200\n", "doorward emulator: nothing was refused\n") == (done.stdout, done.stderr)


def test_curl_is_led_there_too() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    url = "https://accounts.google.com/.well-known/openid-configuration"
    done = call("emulator", "exec", "--intercept", "--", "curl", "-sS", url, environ=ELSEWHERE)

    assert (0, "") == (done.returncode, done.stderr)
    assert "https://accounts.google.com" == json.loads(done.stdout)["issuer"]
