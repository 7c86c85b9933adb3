"""The policy of a request: read, checked as IAM checks it, and written for the version that is asked for.

The rules are those of https://cloud.google.com/run/docs/reference/rest/v2/Policy and
https://cloud.google.com/iam/docs/allow-policies#versions; whether bindings can be understood is decided by
the parser that doors use too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.members import read_member
from doorward.shown import first_quoted, quoted
from doorward_integrations.emulator.google_errors import GoogleError

__all__ = ["UNSET_ETAG", "check_policy", "etag_of", "is_conditional", "shown_policy"]

UNSET_ETAG: Final = "ACAB"
"""The etag of a policy that was never set."""

_VERSIONS: Final = (0, 1, 3)
_CONDITIONAL: Final = 3
_FIELDS: Final = {"bindings", "auditConfigs", "etag", "version"}
_MOST_PRINCIPALS: Final = 1_500
_MOST_GROUPS: Final = 250
_LARGEST: Final = 64 * 1024
_PREDEFINED: Final = re.compile(r"roles/[A-Za-z0-9_.]+")
_CUSTOM: Final = re.compile(r"(?:projects|organizations)/[a-z0-9.:-]+/roles/[A-Za-z0-9_.]{3,64}")
_WITHOUT_CONDITION: Final = "_withcond_"


def _invalid(message: str) -> GoogleError:
    return GoogleError("INVALID_ARGUMENT", message)


def etag_of(document: Mapping[str, object]) -> bytes | None:
    """Return the etag of a policy that a request holds.

    Args:
        document: The policy.

    Returns:
        The etag; None if the policy has none.

    Raises:
        GoogleError: If it is not base64, of either alphabet.
    """
    etag = document.get("etag")
    if etag is None or etag == "":
        return None
    if not isinstance(etag, str):
        raise _invalid("Invalid value at 'policy.etag' (TYPE_BYTES): it must be a string in base64")
    plain = etag.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("Invalid value at 'policy.etag' (TYPE_BYTES): base64 decoding failed") from None


def is_conditional(document: Mapping[str, Any]) -> bool:
    """Return whether a policy has a binding with a condition.

    Args:
        document: The policy, which was checked.
    """
    return any("condition" in binding for binding in document.get("bindings", ()))


def check_policy(given: object) -> dict[str, Any]:
    """Check the policy that a request wants to set.

    Args:
        given: The member ``policy`` of its body.

    Returns:
        A copy with those members that were given, of which those without a value are left out.

    Raises:
        GoogleError: If IAM would refuse it: INVALID_ARGUMENT, with a sentence that says why.
    """
    document = _copy(given)
    if unknown := document.keys() - _FIELDS:
        raise _invalid(f"Invalid JSON payload: unknown name {first_quoted(unknown)} at 'policy'")
    etag_of(document)
    version = document.get("version", 0)
    if type(version) is not int or version not in _VERSIONS:
        raise _invalid(f"Policy version {quoted(version)} is not valid: it must be 0, 1 or 3")
    bindings = document.get("bindings", [])
    if not isinstance(bindings, list) or not all(isinstance(one, dict) for one in bindings):
        raise _invalid("Invalid value at 'policy.bindings': it must be a list of objects")
    audit = document.get("auditConfigs", [])
    if not isinstance(audit, list) or not all(isinstance(one, dict) for one in audit):
        raise _invalid("Invalid value at 'policy.audit_configs': it must be a list of objects")
    document["bindings"] = [_check_binding(one) for one in bindings]
    _check_as_doors_do(document)
    _check_members(document["bindings"])
    if is_conditional(document) and version != _CONDITIONAL:
        raise _invalid("The policy has a binding with a condition: set its 'version' to 3")
    return document


def _copy(given: object) -> dict[str, Any]:
    """Copy a policy, so that nothing changes it later; members without a value are left out."""
    if not isinstance(given, Mapping):
        raise _invalid("Invalid value at 'policy': it must be an object")
    try:
        text = json.dumps(dict(given), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise _invalid("Invalid value at 'policy': it cannot be written as JSON") from None
    if len(text) > _LARGEST:
        raise _invalid(f"The policy is larger than {_LARGEST} bytes")
    return {name: value for name, value in json.loads(text).items() if value is not None}


def _check_binding(binding: dict[str, Any]) -> dict[str, Any]:
    role = binding.get("role")
    if not isinstance(role, str) or not (_PREDEFINED.fullmatch(role) or _CUSTOM.fullmatch(role)):
        raise _invalid(
            f"Role {quoted(role)} is not valid: write roles/NAME, projects/PROJECT/roles/NAME or "
            "organizations/NUMBER/roles/NAME"
        )
    if _WITHOUT_CONDITION in role:
        raise _invalid(
            f"Role {quoted(role)} stands for a binding whose condition was left out, because the policy was "
            "read in a version below 3: read it with options.requestedPolicyVersion=3 and set it again"
        )
    return {name: value for name, value in binding.items() if value is not None}


def _check_as_doors_do(document: dict[str, Any]) -> None:
    roles = (binding["role"] for binding in document["bindings"])
    # The permissions of a custom role are in no policy; whether a door knows them is that door's matter.
    custom: dict[str, tuple[str, ...]] = {role: () for role in roles if _CUSTOM.fullmatch(role)}
    try:
        InvokerPolicy.from_dict(document, strict=True, custom_roles=custom, groups=lambda _, __: False)
    except PolicyError as error:
        raise _invalid(f"The policy is not valid: {error}") from None


def _check_members(bindings: list[dict[str, Any]]) -> None:
    """Check members under every role, and their number.

    https://cloud.google.com/iam/quotas counts each appearance of a principal.
    """
    members = [member for binding in bindings for member in binding.get("members", ())]
    try:
        groups = sum(read_member(member).group is not None for member in members)
    except PolicyError as error:
        raise _invalid(f"The policy is not valid: {error}") from None
    if len(members) > _MOST_PRINCIPALS or groups > _MOST_GROUPS:
        raise _invalid(
            f"The policy has {len(members)} principals, {groups} of them groups: at most {_MOST_PRINCIPALS} "
            f"and {_MOST_GROUPS} are allowed"
        )


def shown_policy(document: Mapping[str, Any], requested: int) -> dict[str, Any]:
    """Write a policy for a version that is asked for.

    Args:
        document: The policy, as it is kept.
        requested: The version. Below 3, conditions are left out, and the role of such a binding ends in
            ``_withcond_`` and a hash, so that no reader takes it for one that always grants
            (https://cloud.google.com/iam/docs/allow-policies#specifying-version-get).

    Returns:
        The policy: without ``bindings`` if it has none.
    """
    shown = {name: value for name, value in document.items() if value not in ([], None)}
    if not is_conditional(document) or requested >= _CONDITIONAL:
        return shown
    return shown | {"version": 1, "bindings": [_without_condition(one) for one in shown["bindings"]]}


def _without_condition(binding: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in binding.items() if name != "condition"}
    if "condition" in binding:
        condition = json.dumps(binding["condition"], sort_keys=True).encode()
        plain["role"] += _WITHOUT_CONDITION + hashlib.sha256(condition).hexdigest()[:20]
    return plain
