"""Deny policies of IAM: who may not use a permission, whatever grants it.

https://cloud.google.com/iam/docs/deny-overview. Deny policies are evaluated before any binding, and what is
not certain about them counts against the principal: a rule that is not understood does not load, and a
condition is taken to hold unless the tags of the service, which are all that it may read, are known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import fold
from doorward.policy.deny.principals import DenyPrincipal
from doorward.policy.files.file import read_file
from doorward.shown import first_quoted, quoted, shortened

__all__ = ["DenyPolicy", "DenyRule", "denied_name"]

_PERMISSION: Final = re.compile(r"[a-z0-9.-]+/(?:\*\.\*|\*\.\w+|[\w.]+\.\*|[\w.]+)")
_POLICY_MEMBERS: Final = frozenset(
    {
        "annotations",
        "createTime",
        "deleteTime",
        "displayName",
        "etag",
        "kind",
        "managingAuthority",
        "name",
        "rules",
        "uid",
        "updateTime",
    }
)
_RULE_MEMBERS: Final = frozenset(
    {
        "deniedPrincipals",
        "exceptionPrincipals",
        "deniedPermissions",
        "exceptionPermissions",
        "denialCondition",
    }
)


def denied_name(permission: str) -> str:
    """Return the name that deny policies have for a permission.

    Args:
        permission: The name in roles, e.g. ``run.routes.invoke``.

    Returns:
        The name in deny policies, e.g. ``run.googleapis.com/routes.invoke``.
    """
    service, _, rest = permission.partition(".")
    return f"{service}.googleapis.com/{rest}"


@dataclass(frozen=True, slots=True)
class DenyRule:
    """One rule of a deny policy.

    Attributes:
        name: Its position in the deny policy, after the display name if there is one.
        denied_principals: Who is denied.
        exception_principals: Who is not denied even so.
        denied_permissions: The permissions that are denied.
        exception_permissions: The permissions that are not denied even so.
        condition: The expression under which the rule applies; None if it always applies.
    """

    name: str
    denied_principals: tuple[DenyPrincipal, ...]
    exception_principals: tuple[DenyPrincipal, ...]
    denied_permissions: tuple[str, ...]
    exception_permissions: tuple[str, ...]
    condition: str | None = None

    def covers(self, permission: str) -> bool:
        """Return whether the rule denies a permission to its principals.

        Args:
            permission: The name of the permission in roles.
        """
        name = denied_name(permission)
        return _is_listed(name, self.denied_permissions) and not _is_listed(name, self.exception_permissions)


def _is_listed(name: str, permissions: Collection[str]) -> bool:
    """Return whether a list has a permission, or a group: ``SERVICE/RESOURCE.*``, ``/*.VERB``, ``/*.*``."""
    service, _, rest = name.partition("/")
    resource, _, verb = rest.rpartition(".")
    return any(
        form in permissions
        for form in (name, f"{service}/{resource}.*", f"{service}/*.{verb}", f"{service}/*.*")
    )


class DenyPolicy:
    """A deny policy, as ``gcloud iam policies get`` prints it. It takes effect by `InvokerPolicy.with_deny`.

    Attributes:
        rules: Its rules.
        customers: The Workspace domains of customers, by customer id.
    """

    __slots__ = ("customers", "rules")

    def __init__(
        self, rules: Sequence[DenyRule], *, customers: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """Make a deny policy of rules; `from_file` reads what gcloud prints.

        Args:
            rules: The rules.
            customers: The primary Workspace domains of the customers that occur in the policy, by customer
                id. An ID token names the domain of a user (``hd``), never the customer. It does not name
                the customer of a service account at all: denied customers are taken to own every service
                account, excepted customers none.

        Raises:
            PolicyError: If the domains of a customer are one string.
        """
        self.rules: Final[tuple[DenyRule, ...]] = tuple(rules)
        folded: dict[str, frozenset[str]] = {}
        for customer, domains in (customers or {}).items():
            if isinstance(domains, str):
                raise PolicyError(
                    f"customers: the domains of {quoted(customer)} must be a list, not one string"
                )
            folded[customer] = frozenset(map(fold, domains))
        self.customers: Final[Mapping[str, frozenset[str]]] = folded

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, customers: Mapping[str, Collection[str]] | None = None
    ) -> DenyPolicy:
        """Read what ``gcloud iam policies get NAME --kind=denypolicies`` prints, as JSON or YAML.

        Args:
            path: The file.
            customers: As for the constructor.

        Returns:
            The policy.

        Raises:
            PolicyError: If the file is not such a policy, or has a rule that is not understood.
            ConfigurationError: If it cannot be read.
        """
        try:
            document = read_file(path)
            if not isinstance(document, Mapping):
                raise PolicyError(  # noqa: TRY301 - named after the file, as every other
                    "not a deny policy but a list: print each with 'gcloud iam policies get'"
                )
            return cls.from_dict(document, customers=customers)
        except PolicyError as error:
            raise PolicyError(f"{os.fspath(path)}: {error}") from error

    @classmethod
    def from_dict(
        cls, document: Mapping[str, object], *, customers: Mapping[str, Collection[str]] | None = None
    ) -> DenyPolicy:
        """Read a deny policy from its parsed form.

        Args:
            document: One policy object (https://cloud.google.com/iam/docs/reference/rest/v2/policies).
            customers: As for the constructor.

        Returns:
            The policy.

        Raises:
            PolicyError: If it is not such a policy, or has a rule that is not understood.
        """
        if unknown := document.keys() - _POLICY_MEMBERS:
            raise PolicyError(f"not a deny policy: unknown member {first_quoted(unknown)}")
        rules = document.get("rules")
        if rules is None:
            raise PolicyError(
                "not a deny policy: it has no 'rules', which 'gcloud iam policies list' leaves out: print it "
                "with 'gcloud iam policies get'"
            )
        if not isinstance(rules, list | tuple):
            raise PolicyError("'rules' must be a list")
        title = document.get("displayName")
        prefix = f"{shortened(title)}: " if isinstance(title, str) and title else ""
        return cls(
            [_read_rule(rule, f"{prefix}rules[{number}]") for number, rule in enumerate(rules)],
            customers=customers,
        )

    def __repr__(self) -> str:
        """Show its size, not its principals, which are personal data."""
        return f"DenyPolicy({len(self.rules)} rules)"


def _read_rule(rule: object, name: str) -> DenyRule:
    """Read one rule whole: a part that is not understood must not be skipped."""
    if not isinstance(rule, Mapping) or not isinstance(body := rule.get("denyRule"), Mapping):
        raise PolicyError(f"{name} must be an object with a 'denyRule'")
    if unknown := (rule.keys() - {"denyRule", "description"}) | (body.keys() - _RULE_MEMBERS):
        raise PolicyError(f"{name}: unknown member {first_quoted(unknown)}")
    denied, excepted = (_texts(body, part, name) for part in ("deniedPermissions", "exceptionPermissions"))
    for permission in (*denied, *excepted):
        if not _PERMISSION.fullmatch(permission):
            raise PolicyError(
                f"{name}: permission {quoted(permission)} is not understood; deny policies write it like "
                "run.googleapis.com/routes.invoke"
            )
    principals = [_texts(body, part, name) for part in ("deniedPrincipals", "exceptionPrincipals")]
    try:
        denied_principals, exception_principals = (tuple(map(DenyPrincipal.read, one)) for one in principals)
    except PolicyError as error:
        raise PolicyError(f"{name}: {error}") from None
    condition = _read_condition(body.get("denialCondition"), name)
    return DenyRule(name, denied_principals, exception_principals, denied, excepted, condition)


def _texts(body: Mapping[str, object], part: str, name: str) -> tuple[str, ...]:
    found = body.get(part, ())
    if found is None and part.startswith("exception"):  # what has no value is written as null by some tools
        return ()
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise PolicyError(f"{name}: {part!r} must be a list of strings")
    return tuple(found)


def _read_condition(condition: object, name: str) -> str | None:
    if condition is None:
        return None
    if not isinstance(condition, Mapping) or not isinstance(text := condition.get("expression"), str):
        raise PolicyError(f"{name}: 'denialCondition' must be an object with an 'expression'")
    return text
