"""Good inputs, from which the fuzzers start."""

from __future__ import annotations

import json
from typing import Final

from support.tokens import AUDIENCE, MEMBER, SigningKey, claims, jwks, token

__all__ = ["SEEDS"]

_NOW: Final = 1_790_000_000.0
_KEY: Final = SigningKey("key-1")
_CONDITION: Final = b'request.path.startsWith("/a") && request.time < timestamp("2030-01-01T00:00:00Z")'
_POLICY: Final = {
    "bindings": [
        {
            "role": "roles/run.invoker",
            "members": [MEMBER, "user:a@example.com", "domain:example.com", "allAuthenticatedUsers"],
            "condition": {"title": "t", "expression": _CONDITION.decode()},
        }
    ],
    "etag": "BwXhqDVkSBs=",
    "version": 3,
}
_DENY: Final = {
    "displayName": "d",
    "rules": [
        {
            "denyRule": {
                "deniedPrincipals": ["principalSet://goog/public:all"],
                "exceptionPrincipals": ["principal://goog/subject/a@example.com"],
                "deniedPermissions": ["run.googleapis.com/routes.invoke"],
            }
        }
    ],
}
_YAML: Final = b"bindings:\n- members:\n  - allUsers\n  role: roles/run.invoker\nversion: 1\n"

_ANCESTORS: Final = [
    {"id": "p", "policy": _POLICY, "type": "project"},
    {"id": "1", "policy": _DENY, "type": "organization"},
]
_POLICIES: Final = [json.dumps(_POLICY).encode(), json.dumps(_ANCESTORS).encode(), _YAML]

SEEDS: Final[dict[str, list[bytes]]] = {
    "strict_json_has_one_reading": [
        json.dumps(claims(_NOW)).encode(),
        b'{"a":{"b":[1,2.5e3,true,null,"\\u00e9\\ud83d\\ude00"]}}',
        b'{"a":' + b"[" * 65 + b'"' + b'\\"' * 40,
    ],
    "base64url_has_one_encoding": [b"eyJhIjoxfQ", b"AA", b"AAA", b"-_-_"],
    "a_token_is_split_or_refused": [token(_KEY, _NOW).encode()],
    "a_key_set_is_read_or_refused": [jwks(_KEY), jwks(_KEY, SigningKey("e", "ES256"))],
    "a_policy_is_read_or_refused": [*_POLICIES, json.dumps(_ANCESTORS).encode("utf-16")],
    "a_policy_reads_alike_in_every_encoding": _POLICIES,
    "yaml_has_one_reading": [
        *_POLICIES,
        b"a: &a [x, 'y']\nb: {c: *a, d: 1.5, e: ~, f: no}\n",
        b"- |\n x\n- >-\n y\n",
    ],
    "a_deny_policy_is_read_or_refused": [json.dumps(_DENY).encode()],
    "a_condition_is_compiled_or_refused": [
        _CONDITION,
        b'request.path.extract("/items/{item}/") == "x"',
        b'!(resource.name == "x") || request.host in ["a", "b"]',
        b'has(request.host) ? request.path.matches("^/a") : size(request.path) % 2 == 0',
        b'api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["roles/x"])',
    ],
    "a_member_is_read_or_refused": [
        MEMBER.encode(),
        b"principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAccount",
        b"deleted:user:a@example.com?uid=1",
        b"serviceAccount:p.svc.id.goog[ns/sa]",
    ],
    "an_audience_of_cloud_run_is_one_of_its_hosts": [
        AUDIENCE.encode(),
        AUDIENCE.encode() + b"/a/b",
        b"https://tag---" + AUDIENCE[8:].encode(),
    ],
    "a_credential_is_found_or_refused": [
        b"authorization:Bearer a.b.c\nhost:x\nx-serverless-authorization:Bearer d"
    ],
    "a_host_is_a_name_or_nothing": [b"Orders.example:8080", b"[::1]:80"],
    "an_answer_has_bounds_whatever_its_headers_say": [
        b'max-age=3600, stale-if-error=60\n12\nThu, 26 Nov 2026 10:00:00 GMT\n\n"x"'
    ],
    "a_path_has_readings_that_are_text": [b"api/x/../%2e%2e/admin;v=1\\y//z"],
}
