"""The one door of the suite, made in the test and again in each server's process, and the tokens for it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from doorward import GOOGLE, Door, FetchError, FixedKeys, InvokerPolicy, Issuer, KeyCache, Verifier
from doorward.keys.fetch import FetchResponse
from doorward.keys.source import KeySource
from support.tokens import AUDIENCE, MEMBER, SigningKey, claims, header, jwks, signed, token

__all__ = ["EXEMPT", "KEYS", "LIMITED", "make_door", "make_tokens", "write_keys"]

KEYS = "DOORWARD_TEST_KEYS"
"""Names the file of the issuer's keys in the environment of a server."""

LIMITED = "limited@doorward-test.iam.gserviceaccount.com"
"""A caller whom the policy grants the paths below ``/orders/`` alone."""

EXEMPT = (("GET", "/healthz"), ("OPTIONS", "/orders"))

_AWAY = Issuer(name="away", iss_values=("https://away.example",), key_url="https://away.example/keys")


def _policy() -> InvokerPolicy:
    below = {"title": "below", "expression": 'request.path.startsWith("/orders/")'}
    role = "roles/run.invoker"
    bindings = [
        {"role": role, "members": [MEMBER]},
        {"role": role, "members": [f"serviceAccount:{LIMITED}"], "condition": below},
    ]
    return InvokerPolicy.from_dict({"version": 3, "bindings": bindings})


def _unreachable(_url: str, _headers: Mapping[str, str], /) -> FetchResponse:
    raise FetchError("connect", "connection refused")


def make_door(keys: str | None = None) -> Door:
    """Make the door over the keys of a file; of the one that the environment names, in a server's process."""
    path = keys or os.environ[KEYS]

    def source(issuer: Issuer) -> KeySource:
        if issuer is GOOGLE:
            return FixedKeys.from_file(path)
        return KeyCache(issuer.key_url, issuer.algorithms, fetch=_unreachable)

    return Door(Verifier(AUDIENCE, issuers=[GOOGLE, _AWAY], key_cache=source), _policy(), exempt=EXEMPT)


KEY = SigningKey("conformance")


def write_keys(folder: Path) -> str:
    """Write the key set of the tokens into a folder, and return the path of the file."""
    path = folder / "keys.json"
    path.write_bytes(jwks(KEY))
    return str(path)


def make_tokens() -> dict[str, str]:
    """Make the tokens that the table names, and as ``seen_…`` what the application sees of each."""
    now = time.time()
    made = {
        "good": token(KEY, now),
        "expired": token(KEY, now - 7200),
        "limited": token(KEY, now, email=LIMITED),
        "outsider": token(KEY, now, email="outsider@doorward-test.iam.gserviceaccount.com"),
        "away": signed(KEY, header(KEY), claims(now, iss="https://away.example")),
    }
    made["bad"] = f"{made['good'][:-8]}{'A' * 8}"
    return made | {f"seen_{name}": _without_signature(one) for name, one in made.items()}


def _without_signature(one: str) -> str:
    return f"{one.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
