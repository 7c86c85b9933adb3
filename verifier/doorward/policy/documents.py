"""Policy documents: read into what decides, joined, put behind deny policies, and written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from doorward.errors import PolicyError
from doorward.policy.bindings import Binding, BindingReader, PolicySettings
from doorward.policy.decision import BindingCondition
from doorward.policy.groups import Resolver, resolver
from doorward.policy.identities import NO_KNOWN_ACCOUNTS
from doorward.policy.index import PolicyIndex
from doorward.policy.roles import check_permission

if TYPE_CHECKING:  # a caller that passes a deny policy has loaded it
    from doorward.policy.deny.policy import DenyPolicy

__all__ = [
    "LoadedPolicy",
    "check_is_disabled",
    "disabled_policy",
    "join_policies",
    "plain_copy",
    "read_bindings",
    "read_document",
    "with_denials",
]

_VERSIONS: Final = (0, 1, 3)  # https://cloud.google.com/iam/docs/reference/rest/v1/Policy
_MEMBERS: Final = frozenset({"bindings", "etag", "version", "auditConfigs", "kind", "resourceId"})
_DISABLED: Final = "run.googleapis.com/invoker-iam-disabled"


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy document, read for one permission.

    Attributes:
        index: Its bindings and deny rules, indexed for decisions.
        document: The document, as it is written back; read-only.
        permission: The permission to decide on.
        groups: Resolves its groups.
        check_disabled: Whether the invoker check is switched off, so that every request is admitted.
    """

    index: PolicyIndex
    document: Mapping[str, Any]
    permission: str
    groups: Resolver
    check_disabled: bool = False


def read_bindings(
    bindings: Iterable[Binding | tuple[str, Iterable[str]]], settings: PolicySettings
) -> LoadedPolicy:
    """Read bindings that the user writes, and make the document of them.

    Args:
        bindings: `Binding`, or pairs of role and members.
        settings: See `PolicySettings`.

    Returns:
        The policy.

    Raises:
        PolicyError: If a binding whose role holds the permission is not understood.
    """
    reader = BindingReader(settings)
    permission_bindings, written = [], []
    for number, given in enumerate(bindings):
        binding = given if isinstance(given, Binding) else Binding(*given)
        if isinstance(binding.members, str):
            raise PolicyError(f"the members of {binding.role} must be a list, not one string")
        members = list(binding.members)
        if reader.role_holds(binding.role):
            permission_bindings.append(
                reader.make(f"bindings[{number}]", binding.role, members, binding.condition)
            )
        condition = {} if binding.condition is None else {"condition": _condition_document(binding.condition)}
        written.append({"role": binding.role, "members": members, **condition})
    conditional = any("condition" in binding for binding in written)
    return LoadedPolicy(
        PolicyIndex(permission_bindings, (), reader.known),
        {"bindings": written, "version": 3 if conditional else 1},
        reader.permission,
        reader.groups,
    )


def read_document(document: Mapping[str, object], settings: PolicySettings, source: str = "") -> LoadedPolicy:
    """Read a policy document.

    Args:
        document: One policy object (https://cloud.google.com/iam/docs/reference/rest/v1/Policy); it is
            copied.
        settings: See `PolicySettings`.
        source: What explanations write before the position of a binding.

    Returns:
        The policy.

    Raises:
        PolicyError: If it is not a policy, or holds a binding that is not understood.
    """
    if unknown := document.keys() - _MEMBERS:
        raise PolicyError(f"not a policy: unknown member {min(map(str, unknown))!r}")
    version = document.get("version", 0)
    if type(version) is not int or version not in _VERSIONS:
        raise PolicyError(f"policy version {version!r}; known are {', '.join(map(str, _VERSIONS))}")
    bindings = document.get("bindings", ())
    if not isinstance(bindings, list | tuple):
        raise PolicyError("'bindings' must be a list")
    reader = BindingReader(settings)
    found = (reader.read(binding, f"bindings[{number}]", source) for number, binding in enumerate(bindings))
    index = PolicyIndex(filter(None, found), (), reader.known)
    return LoadedPolicy(index, _frozen(document), reader.permission, reader.groups)


def disabled_policy(permission: str) -> LoadedPolicy:
    """Return the policy of a service whose invoker check is switched off.

    Args:
        permission: The permission that is not checked.

    Raises:
        PolicyError: If the permission is not known.
    """
    index = PolicyIndex((), (), NO_KNOWN_ACCOUNTS)
    return LoadedPolicy(
        index, MappingProxyType({}), check_permission(permission), resolver(None), check_disabled=True
    )


def check_is_disabled(service: Mapping[str, object]) -> bool:
    """Return whether the description of a service says that its invoker check is switched off.

    https://cloud.google.com/run/docs/securing/managing-access

    Args:
        service: What ``gcloud run services describe --format=json`` prints (the annotation
            ``run.googleapis.com/invoker-iam-disabled``), or the v2 API (``invokerIamDisabled``).

    Raises:
        PolicyError: If the description is not understood.
    """
    flag = service.get("invokerIamDisabled", False)
    metadata = service.get("metadata", {})
    annotations = metadata.get("annotations", {}) if isinstance(metadata, Mapping) else "?"
    annotations = {} if annotations is None else annotations
    if not isinstance(annotations, Mapping) or not isinstance(flag, bool):
        raise PolicyError("not the description of a service: print it with --format=json")
    annotated = annotations.get(_DISABLED, "false")
    if annotated not in ("true", "false"):
        raise PolicyError(f"the annotation {_DISABLED} is 'true' or 'false', not {annotated!r}")
    return flag or annotated == "true"


def join_policies(policies: Sequence[LoadedPolicy]) -> LoadedPolicy:
    """Join the policies that a service inherits.

    Args:
        policies: The policies.

    Returns:
        The policy that grants what any of them grants, and denies what any of them denies. Its document has
        the bindings and audit configurations of all, and no etag: it belongs to none of the resources.

    Raises:
        PolicyError: If there is none, if they were read for different permissions, or if what their users
            know of accounts is contradictory.
    """
    if not policies:
        raise PolicyError("pass the policies to join")
    first = policies[0]
    if any(policy.permission != first.permission for policy in policies):
        raise PolicyError("policies that are asked for different permissions cannot be joined")
    known = NO_KNOWN_ACCOUNTS
    for policy in policies:
        known = known.joined(policy.index.known)
    bindings = [binding for policy in policies for binding in policy.index.bindings]
    denials = [replace(denial, known=known) for policy in policies for denial in policy.index.denials]
    documents = [policy.document for policy in policies]
    joined: dict[str, Any] = {
        part: [entry for document in documents for entry in document.get(part, ())]
        for part in ("bindings", "auditConfigs")
        if any(part in document for document in documents)
    }
    joined["version"] = max(document.get("version", 0) for document in documents)
    return LoadedPolicy(
        PolicyIndex(bindings, denials, known),
        _frozen(joined),
        first.permission,
        first.groups,
        check_disabled=any(policy.check_disabled for policy in policies),
    )


def with_denials(loaded: LoadedPolicy, policies: Iterable[DenyPolicy]) -> LoadedPolicy:
    """Put deny policies before the bindings of a policy.

    Args:
        loaded: The policy.
        policies: The deny policies.

    Returns:
        The policy with them, and with the same document.

    Raises:
        PolicyError: If one of their rules covers the permission and cannot be decided for every principal.
    """
    from doorward.policy.deny.matching import denials_of  # noqa: PLC0415 - most policies have no deny rules

    index = loaded.index
    denials = [
        denial
        for policy in policies
        for denial in denials_of(policy, loaded.permission, loaded.groups, index.known)
    ]
    return replace(loaded, index=PolicyIndex(index.bindings, (*index.denials, *denials), index.known))


def plain_copy(value: object) -> object:
    """Copy a value of a document, as plain lists and dictionaries.

    Args:
        value: The value, as it was read.

    Returns:
        A copy that its holder may change.
    """
    if isinstance(value, Mapping):
        return {str(name): plain_copy(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain_copy(member) for member in value]
    return value


def _frozen(document: Mapping[str, object]) -> Mapping[str, Any]:
    return MappingProxyType({str(name): plain_copy(value) for name, value in document.items()})


def _condition_document(condition: BindingCondition) -> dict[str, str]:
    """Return what a policy document holds for a condition."""
    named = {"title": condition.title} if condition.title else {}
    return {"expression": condition.expression, **named}
