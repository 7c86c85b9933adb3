"""Cloud Run's invoker check in front of any service.

A `Verifier` turns a Google-signed ID token into a `Principal`, an `InvokerPolicy` says whether that principal
holds ``run.routes.invoke``, and a `Door` makes both into one decision for one request. No framework is
imported here: see ``doorward_integrations`` for ASGI, FastAPI, Starlette, WSGI and Flask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.door.door import Admission, Door, Policy, PolicySource
from doorward.door.refusal import Refusal, cloud_run, problem_details
from doorward.errors import (
    ClaimError,
    ConfigurationError,
    CredentialError,
    DoorwardError,
    FetchError,
    KeysUnavailableError,
    MalformedTokenError,
    PermissionDeniedError,
    PolicyError,
    Reason,
    RefusedError,
    SignatureError,
    TokenError,
)
from doorward.keys.cache import KeyCache
from doorward.keys.fetch import HttpxFetch
from doorward.keys.state import KeyState
from doorward.policy.groups import Unresolved
from doorward.policy.iam import Binding, Decision, InvokerPolicy, PolicySettings
from doorward.policy.request import PlainRequest, RequestFacts
from doorward.tokens.audiences import Audience
from doorward.tokens.issuers import GOOGLE, Issuer
from doorward.tokens.principal import Principal, PrincipalKind
from doorward.tokens.verifier import Verifier

if TYPE_CHECKING:
    from doorward.door.credentials import find_iap_assertion
    from doorward.door.log import CloudRunFormatter
    from doorward.door.senders import (
        EventSender,
        cloud_scheduler,
        cloud_tasks,
        eventarc,
        pubsub_push,
        workflows,
    )
    from doorward.door.stripped import StrippedPrincipal, UnsafeStrippedVerifier
    from doorward.policy.account import PolicyAccount
    from doorward.policy.cloudidentity import CloudIdentityGroups
    from doorward.policy.deny import DenyPolicy
    from doorward.policy.watch import WatchedPolicy
    from doorward.tokens.account import TokenAccount, explain_token
    from doorward.tokens.accounts import ComputeEngine
    from doorward.tokens.cloudrun import CloudRunAudience
    from doorward.tokens.discovery import discover
    from doorward.tokens.iap import (
        IAP,
        iap_app_engine_audience,
        iap_backend_service_audience,
        iap_cloud_run_audience,
    )
    from doorward.tokens.presets import chat_project_number, firebase, is_google_chat, service_account_issuer

__all__ = [
    "GOOGLE",
    "IAP",
    "Admission",
    "Audience",
    "Binding",
    "ClaimError",
    "CloudIdentityGroups",
    "CloudRunAudience",
    "CloudRunFormatter",
    "ComputeEngine",
    "ConfigurationError",
    "CredentialError",
    "Decision",
    "DenyPolicy",
    "Door",
    "DoorwardError",
    "EventSender",
    "FetchError",
    "HttpxFetch",
    "InvokerPolicy",
    "Issuer",
    "KeyCache",
    "KeyState",
    "KeysUnavailableError",
    "MalformedTokenError",
    "PermissionDeniedError",
    "PlainRequest",
    "Policy",
    "PolicyAccount",
    "PolicyError",
    "PolicySettings",
    "PolicySource",
    "Principal",
    "PrincipalKind",
    "Reason",
    "Refusal",
    "RefusedError",
    "RequestFacts",
    "SignatureError",
    "StrippedPrincipal",
    "TokenAccount",
    "TokenError",
    "Unresolved",
    "UnsafeStrippedVerifier",
    "Verifier",
    "WatchedPolicy",
    "chat_project_number",
    "cloud_run",
    "cloud_scheduler",
    "cloud_tasks",
    "discover",
    "eventarc",
    "explain_token",
    "find_iap_assertion",
    "firebase",
    "iap_app_engine_audience",
    "iap_backend_service_audience",
    "iap_cloud_run_audience",
    "is_google_chat",
    "problem_details",
    "pubsub_push",
    "service_account_issuer",
    "workflows",
]

# What not every service needs is imported when it is first asked for: no cold start waits for it.
_LATER = {
    "doorward.door.credentials": ("find_iap_assertion",),
    "doorward.door.log": ("CloudRunFormatter",),
    "doorward.door.senders": (
        "EventSender",
        "cloud_scheduler",
        "cloud_tasks",
        "eventarc",
        "pubsub_push",
        "workflows",
    ),
    "doorward.door.stripped": ("StrippedPrincipal", "UnsafeStrippedVerifier"),
    "doorward.policy.account": ("PolicyAccount",),
    "doorward.policy.cloudidentity": ("CloudIdentityGroups",),
    "doorward.policy.deny": ("DenyPolicy",),
    "doorward.policy.watch": ("WatchedPolicy",),
    "doorward.tokens.account": ("TokenAccount", "explain_token"),
    "doorward.tokens.accounts": ("ComputeEngine",),
    "doorward.tokens.cloudrun": ("CloudRunAudience",),
    "doorward.tokens.discovery": ("discover",),
    "doorward.tokens.iap": (
        "IAP",
        "iap_app_engine_audience",
        "iap_backend_service_audience",
        "iap_cloud_run_audience",
    ),
    "doorward.tokens.presets": (
        "chat_project_number",
        "firebase",
        "is_google_chat",
        "service_account_issuer",
    ),
}
_HOME = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> object:
    """Import what is asked for by its name (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the rest of it, when it is needed

    found: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List what is there, imported or not."""
    return sorted({*globals(), *__all__})
