"""Cloud Run's invoker check in front of any service.

A `Verifier` turns a Google-signed ID token into a `Principal`, an `InvokerPolicy` says whether that principal
holds ``run.routes.invoke``, and a `Door` makes both into one decision for one request. No framework is
imported here: see ``doorward_integrations`` for ASGI, FastAPI, Starlette, WSGI and Flask.
"""

from __future__ import annotations

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
from doorward.policy.iam import Decision, InvokerPolicy
from doorward.policy.request import PlainRequest, RequestFacts
from doorward.tokens.issuers import GOOGLE, Issuer
from doorward.tokens.principal import Principal, PrincipalKind
from doorward.tokens.verifier import Verifier

__all__ = [
    "GOOGLE",
    "Admission",
    "ClaimError",
    "ConfigurationError",
    "CredentialError",
    "Decision",
    "Door",
    "DoorwardError",
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
    "PolicyError",
    "PolicySource",
    "Principal",
    "PrincipalKind",
    "Reason",
    "Refusal",
    "RefusedError",
    "RequestFacts",
    "SignatureError",
    "TokenError",
    "Verifier",
    "cloud_run",
    "problem_details",
]
