"""Policies that have been read, or are made by name: joined, and put behind deny policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from doorward.errors import PolicyError
from doorward.issuers.issuer import Issuer
from doorward.policy.conditions.resource_tags import ResourceTags
from doorward.policy.documents.remarks import log_remarks
from doorward.policy.index import PermissionBinding, PolicyIndex
from doorward.policy.membership.groups import Resolver, resolver
from doorward.policy.membership.identities import NO_KNOWN_ACCOUNTS
from doorward.policy.membership.members import Member
from doorward.policy.roles import check_permission, narrowest_role
from doorward.shown import quoted, shortened

if TYPE_CHECKING:  # a caller that passes a deny policy has loaded it
    from doorward.policy.deny.policy import DenyPolicy

__all__ = ["LoadedPolicy", "disabled_policy", "join_policies", "users_of", "with_denials"]


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy document, read for one permission.

    Attributes:
        index: Its bindings and deny rules, indexed for decisions.
        document: The document, as it is written back; read-only.
        permission: The permission to decide on.
        groups: Resolves its groups.
        tags: The tags of the service; None if they are not known.
        remarks: What it holds that grants nothing and was perhaps meant to.
        check_disabled: Whether the invoker check is switched off, so that every request is admitted.
    """

    index: PolicyIndex
    document: Mapping[str, Any]
    permission: str
    groups: Resolver
    tags: ResourceTags | None = None
    remarks: tuple[str, ...] = ()
    check_disabled: bool = False


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


def users_of(issuers: Sequence[Issuer], permission: str) -> LoadedPolicy:
    """Return the policy that admits every user of some issuers.

    Args:
        issuers: The issuers.
        permission: The permission that the policy decides on.

    Raises:
        PolicyError: If there is none, if one of them is not an issuer, or if the permission is not known.
    """
    role = narrowest_role(check_permission(permission))
    if not issuers:
        raise PolicyError(
            "pass the issuers whose users are admitted: InvokerPolicy.users_of(firebase(PROJECT))"
        )
    bindings = []
    for number, issuer in enumerate(issuers):
        if not isinstance(issuer, Issuer):
            raise PolicyError(f"users_of takes issuers, such as firebase(PROJECT), not {quoted(issuer)}")
        name = issuer.iss_values[0]
        member = Member(shortened(f"every user of {name}"), issuer=name)
        bindings.append(PermissionBinding(f"users_of[{number}]", role, (member,), None, resolver(None)))
    index = PolicyIndex(bindings, (), NO_KNOWN_ACCOUNTS)
    return LoadedPolicy(index, MappingProxyType({}), permission, resolver(None))


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
    known, tags = NO_KNOWN_ACCOUNTS, None
    for policy in policies:
        known = known.joined(policy.index.known)
        tags = policy.tags.joined(tags) if policy.tags is not None else tags
    bindings = [binding for policy in policies for binding in policy.index.bindings]
    denials = [replace(denial, known=known) for policy in policies for denial in policy.index.denials]
    documents = [policy.document for policy in policies]
    joined: dict[str, Any] = {
        part: [entry for document in documents for entry in document.get(part) or ()]
        for part in ("bindings", "auditConfigs")
        if any(part in document for document in documents)
    }
    joined["version"] = max(document.get("version") or 0 for document in documents)
    return LoadedPolicy(
        PolicyIndex(bindings, denials, known),
        MappingProxyType(joined),
        first.permission,
        first.groups,
        tags,
        tuple(remark for policy in policies for remark in policy.remarks),
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
        for denial in denials_of(policy, loaded.permission, loaded.groups, index.known, loaded.tags)
    ]
    remarks = tuple(
        f"{denial.rule.name}: {denial.assumption}" for denial in denials if denial.assumption is not None
    )
    log_remarks(remarks)
    return replace(
        loaded,
        index=PolicyIndex(index.bindings, (*index.denials, *denials), index.known),
        remarks=(*loaded.remarks, *remarks),
    )
