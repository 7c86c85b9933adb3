"""Parts of policies, and principals to decide on, without tokens."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from doorward import GOOGLE, DenyPolicy, Issuer, Principal
from support.tokens import claims

INVOKER = "roles/run.invoker"
DENIED_INVOKE = "run.googleapis.com/routes.invoke"


def principal(issuer: Issuer = GOOGLE, **changed: Any) -> Principal:
    """Return the principal of a token of the tests' service account, with some claims changed."""
    return Principal(MappingProxyType(claims(1_790_000_000.0, **changed)), issuer)


def document(*bindings: Any, **more: Any) -> dict[str, Any]:
    """Return a policy document, as gcloud prints it."""
    return {"bindings": list(bindings), "etag": "BwXhEK-IySg=", "version": 1, **more}


def binding(role: str, *members: Any, **more: Any) -> dict[str, Any]:
    """Return a binding of a policy document."""
    return {"role": role, "members": list(members), **more}


def deny_rule(*denied: str, **more: Any) -> dict[str, Any]:
    """Return the rule of a deny policy that denies some principals the invocation."""
    return {"deniedPrincipals": [*denied], "deniedPermissions": [DENIED_INVOKE], **more}


def deny(*denied: str) -> DenyPolicy:
    """Return the deny policy of that rule."""
    return DenyPolicy.from_dict({"rules": [{"denyRule": deny_rule(*denied)}]})
