"""Cloud Run's invoker check in front of any service.

A `Verifier` verifies a Google-signed ID token and returns its `Principal`, an `InvokerPolicy` decides whether
that principal holds ``run.routes.invoke``, and a `Door` makes both into one decision for one request. No
framework is imported here: see ``doorward_integrations`` for ASGI, FastAPI, Starlette, WSGI and Flask.

The names here are what an application writes. Everything else is imported from its own module: protocols to
implement from ``doorward.keys.source``, ``doorward.keys.fetch``, ``doorward.audiences.audience`` and
``doorward.policy.source``, events from ``doorward.keys.events``, ready-made doors from ``doorward.senders``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from doorward.audiences.cloud_run import CloudRunAudience
    from doorward.door.admission import Admission
    from doorward.door.credentials import find_iap_assertion
    from doorward.door.door import Door
    from doorward.door.log import CloudRunFormatter
    from doorward.door.refusal import Refusal, problem_details
    from doorward.door.stripped import UnsafeStrippedVerifier
    from doorward.errors import (
        ConfigurationError,
        CredentialError,
        DoorwardError,
        FetchError,
        KeysUnavailableError,
        PermissionDeniedError,
        PolicyError,
        Reason,
        RefusedError,
        TokenError,
    )
    from doorward.explain.token import explain_token
    from doorward.issuers.discovery import discover
    from doorward.issuers.firebase import firebase
    from doorward.issuers.google import GOOGLE
    from doorward.issuers.iap import IAP
    from doorward.issuers.issuer import Issuer
    from doorward.keys.cache import KeyCache
    from doorward.keys.fixed import FixedKeys
    from doorward.policy.deny.policy import DenyPolicy
    from doorward.policy.iam import InvokerPolicy
    from doorward.policy.membership.cloud_identity import CloudIdentityGroups
    from doorward.policy.request import PlainRequest
    from doorward.policy.watching.watch import WatchedPolicy
    from doorward.tokens.principal import Principal, PrincipalKind
    from doorward.tokens.verifier import Verifier

__all__ = [
    "GOOGLE",
    "IAP",
    "Admission",
    "CloudIdentityGroups",
    "CloudRunAudience",
    "CloudRunFormatter",
    "ConfigurationError",
    "CredentialError",
    "DenyPolicy",
    "Door",
    "DoorwardError",
    "FetchError",
    "FixedKeys",
    "InvokerPolicy",
    "Issuer",
    "KeyCache",
    "KeysUnavailableError",
    "PermissionDeniedError",
    "PlainRequest",
    "PolicyError",
    "Principal",
    "PrincipalKind",
    "Reason",
    "Refusal",
    "RefusedError",
    "TokenError",
    "UnsafeStrippedVerifier",
    "Verifier",
    "WatchedPolicy",
    "discover",
    "explain_token",
    "find_iap_assertion",
    "firebase",
    "problem_details",
]

# Each name is imported when it is first asked for: no cold start waits for what it does not use.
_LATER = {
    "GOOGLE": "doorward.issuers.google",
    "IAP": "doorward.issuers.iap",
    "Admission": "doorward.door.admission",
    "CloudIdentityGroups": "doorward.policy.membership.cloud_identity",
    "CloudRunAudience": "doorward.audiences.cloud_run",
    "CloudRunFormatter": "doorward.door.log",
    "ConfigurationError": "doorward.errors",
    "CredentialError": "doorward.errors",
    "DenyPolicy": "doorward.policy.deny.policy",
    "Door": "doorward.door.door",
    "DoorwardError": "doorward.errors",
    "FetchError": "doorward.errors",
    "FixedKeys": "doorward.keys.fixed",
    "InvokerPolicy": "doorward.policy.iam",
    "Issuer": "doorward.issuers.issuer",
    "KeyCache": "doorward.keys.cache",
    "KeysUnavailableError": "doorward.errors",
    "PermissionDeniedError": "doorward.errors",
    "PlainRequest": "doorward.policy.request",
    "PolicyError": "doorward.errors",
    "Principal": "doorward.tokens.principal",
    "PrincipalKind": "doorward.tokens.principal",
    "Reason": "doorward.errors",
    "Refusal": "doorward.door.refusal",
    "RefusedError": "doorward.errors",
    "TokenError": "doorward.errors",
    "UnsafeStrippedVerifier": "doorward.door.stripped",
    "Verifier": "doorward.tokens.verifier",
    "WatchedPolicy": "doorward.policy.watching.watch",
    "discover": "doorward.issuers.discovery",
    "explain_token": "doorward.explain.token",
    "find_iap_assertion": "doorward.door.credentials",
    "firebase": "doorward.issuers.firebase",
    "problem_details": "doorward.door.refusal",
}


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the modules that it imports, when it is needed

    found: object = getattr(import_module(_LATER[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
