"""The code that the new interpreters of ``start`` run: import statements, and scripts that verify a token."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BARE", "FIRST", "IMPORTS", "UNIT", "Script", "whole"]

BARE = "python alone"
UNIT = "jwt"

IMPORTS = {
    BARE: "pass",
    UNIT: "import jwt",
    "doorward": "import doorward",
    "doorward, by its names": "from doorward import Door, InvokerPolicy, Verifier",
    "google-auth": "import google.oauth2.id_token, google.auth.transport.requests",
    "httpx": "import httpx",
    "starlette": "import starlette.applications, starlette.requests, starlette.responses, starlette.routing",
    "fastapi": "import fastapi",
    "fastapi, doorward's dependency": (
        "import fastapi, doorward_integrations.fastapi\nfrom doorward import Door, InvokerPolicy, Verifier"
    ),
}
"""By contender, the imports of its users. ``import jwt`` also loads its cryptography backend."""

_TAIL = """
import os
os.write(1, b"ready\\n")
import sys
try:
    with open("/proc/self/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
os.write(1, b"%d %d\\n" % (len(sys.modules), peak))
os._exit(0)
"""
"""Prints that the work is done, and only then the number of modules and the peak memory in KiB."""


def whole(body: str) -> str:
    """Return a script that reports its end."""
    return f"{body}\n{_TAIL}"


@dataclass(frozen=True)
class Script:
    """A script that verifies the token in the environment, and raises if it is not good.

    Attributes:
        body: Its text.
        keys: The name of the document that it reads the keys from: a JWK set or Google's certificates.
        asks: The number of requests for keys before it answers.
        note: What a reader must know of its figure.
    """

    body: str
    keys: str = "jwks"
    asks: int = 1
    note: str = ""


_DOORWARD = """
import os
from doorward import Issuer, KeyCache, Verifier
ours = Issuer(name="google", iss_values=("https://accounts.google.com", "accounts.google.com"),
              key_url=os.environ["KEYS"])
verifier = Verifier(os.environ["AUDIENCE"], issuers=[ours], {settings})
verifier.verify(os.environ["TOKEN"])
"""

_PYJWT = """
import os
import jwt
client = jwt.PyJWKClient(os.environ["KEYS"])
token = os.environ["TOKEN"]
key = client.get_signing_key_from_jwt(token)
jwt.decode(token, key, algorithms=["RS256"], audience=os.environ["AUDIENCE"],
           issuer=["https://accounts.google.com", "accounts.google.com"])
"""

_GOOGLE = """
import os
import google.auth.transport.requests
from google.oauth2 import id_token
request = google.auth.transport.requests.Request()
keys = os.environ["KEYS"]
claims = id_token.verify_token(os.environ["TOKEN"], request, os.environ["AUDIENCE"], certs_url=keys)
if claims["iss"] not in ("https://accounts.google.com", "accounts.google.com"):
    raise ValueError(claims["iss"])
"""

FIRST = {
    "doorward, from a snapshot": Script(
        _DOORWARD.replace(
            "{settings}", 'key_cache=lambda one: KeyCache(one.key_url, snapshot=os.environ["SNAPSHOT"])'
        ),
        asks=0,
        note="no request before the answer",
    ),
    "doorward": Script(_DOORWARD.replace("{settings}", "")),
    "PyJWKClient": Script(_PYJWT),
    "google-auth": Script(
        _GOOGLE, "certificates", note="certificates, as by default; issuer compared after it"
    ),
    "google-auth, JWK set": Script(_GOOGLE, note="issuer compared after it"),
}
