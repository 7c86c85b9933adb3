"""Deny policies of IAM: who may not, whatever else grants it.

https://cloud.google.com/iam/docs/deny-overview. They are read before any binding, and everything that is not
certain about them counts against the caller: a rule that is not understood does not load, and a condition,
which may only ask for resource tags that no request carries, is taken to hold.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.files import read_file
from doorward.policy.members import federated, fold, project_set

__all__ = ["DenyPolicy", "DenyPrincipal", "DenyRule", "denied_name"]

_ACCOUNT: Final = re.compile(r"principal://goog/subject/([^@\s/]+@[^@\s/]+)")
_SERVICE_ACCOUNT: Final = re.compile(
    r"principal://iam\.googleapis\.com/projects/(?:-|[^/\s]+)/serviceAccounts/([^@\s/]+@[^@\s/]+|\d+)"
)
_GROUP: Final = re.compile(r"principalSet://goog/group/([^@\s/]+@[^@\s/]+)")
_CUSTOMER: Final = re.compile(r"principalSet://goog/cloudIdentityCustomerId/(C\w+)")
_FORMS: Final = (
    (_ACCOUNT, "account"),
    (_SERVICE_ACCOUNT, "account"),
    (_GROUP, "group"),
    (_CUSTOMER, "customer"),
)
_DELETED: Final = re.compile(r"deleted:principal(?:Set)?://\S+")
_PERMISSION: Final = re.compile(r"[a-z0-9.-]+/(?:\*\.\*|\*\.\w+|[\w.]+\.\*|[\w.]+)")
_KNOWN_MEMBERS: Final = frozenset(
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
    """Spell a permission as deny policies do.

    Args:
        permission: As roles spell it, e.g. ``run.routes.invoke``.

    Returns:
        E.g. ``run.googleapis.com/routes.invoke``.
    """
    service, _, rest = permission.partition(".")
    return f"{service}.googleapis.com/{rest}"


@dataclass(frozen=True, slots=True)
class DenyPrincipal:
    """One principal of a deny rule, understood. At most one of the rest is set.

    Attributes:
        text: As the policy spells it.
        everyone: Whether it is anyone at all.
        account: The address, in lower case, or the unique id of an account.
        group: The address of a group, in lower case.
        customer: The id of a Workspace or Cloud Identity customer.
        projects: The number of a project whose service accounts it is.
        never: Why no caller with an ID token can be it.
        undecidable: Why nobody can tell from an ID token.
    """

    text: str
    everyone: bool = False
    account: str | None = None
    group: str | None = None
    customer: str | None = None
    projects: str | None = None
    never: str | None = None
    undecidable: str | None = None

    @classmethod
    def read(cls, text: str) -> DenyPrincipal:
        """Read one.

        Args:
            text: As IAM prints it.

        Returns:
            What it means.

        Raises:
            PolicyError: If it is no known form.
        """
        if text == "principalSet://goog/public:all":
            return cls(text, everyone=True)
        for form, part in _FORMS:
            if found := form.fullmatch(text):
                parts: dict[str, Any] = {part: fold(found[1]) if "@" in found[1] else found[1]}
                return cls(text, **parts)
        never = "a deleted account presents no ID token" if _DELETED.fullmatch(text) else federated(text)
        if never is not None:
            return cls(text, never=never)
        if (owned := project_set(text)) is not None:
            resource, number, accounts = owned
            if (resource, accounts) == ("projects", "ServiceAccount"):
                return cls(text, projects=number)
            return cls(text, undecidable=f"which {resource} an account belongs to is not in its ID token")
        raise PolicyError(
            f"principal {text!r} is not understood; deny policies spell them in their own way: "
            "principal://goog/subject/EMAIL, principalSet://goog/group/EMAIL, "
            "principal://iam.googleapis.com/projects/-/serviceAccounts/EMAIL, "
            "principalSet://goog/cloudIdentityCustomerId/ID, principalSet://goog/public:all"
        )


@dataclass(frozen=True, slots=True)
class DenyRule:
    """One rule of a deny policy.

    Attributes:
        name: Where it stands, for accounts and errors.
        denied: Who is denied.
        excepted: Who is not, even so.
        permissions: What they are denied.
        kept: What they are not, even so.
        condition: The expression under which the rule applies; None if it always does.
    """

    name: str
    denied: tuple[DenyPrincipal, ...]
    excepted: tuple[DenyPrincipal, ...]
    permissions: tuple[str, ...]
    kept: tuple[str, ...]
    condition: str | None = None

    def concerns(self, permission: str) -> bool:
        """Tell whether it is about a permission.

        Args:
            permission: As roles spell it.

        Returns:
            Whether it denies it to somebody.
        """
        name = denied_name(permission)
        return _listed(name, self.permissions) and not _listed(name, self.kept)


def _listed(name: str, permissions: Collection[str]) -> bool:
    """Find a permission in a list, or in one of its groups: ``SERVICE/RESOURCE.*``, ``/*.VERB``, ``/*.*``."""
    service, _, rest = name.partition("/")
    resource, _, verb = rest.rpartition(".")
    return any(
        one in permissions
        for one in (name, f"{service}/{resource}.*", f"{service}/*.{verb}", f"{service}/*.*")
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
        """Take rules; see `from_file` for what gcloud prints.

        Args:
            rules: The rules.
            customers: The primary Workspace domains of the customers that occur in it, by customer id. An ID
                token names the domain of a user (``hd``), never the customer. Whose a service account is, it
                does not tell at all: denied customers are taken to own every service account, excepted ones
                none.

        Raises:
            PolicyError: If the domains of a customer are one string.
        """
        self.rules: Final = tuple(rules)
        folded: dict[str, frozenset[str]] = {}
        for customer, domains in (customers or {}).items():
            if isinstance(domains, str):
                raise PolicyError(f"customers: the domains of {customer} must be a list, not one string")
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
            return cls.from_dict(read_file(path), customers=customers)
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
        if unknown := document.keys() - _KNOWN_MEMBERS:
            raise PolicyError(f"not a deny policy: unknown member {min(map(str, unknown))!r}")
        rules = document.get("rules", ())
        if not isinstance(rules, list | tuple):
            raise PolicyError("'rules' must be a list")
        title = document.get("displayName")
        prefix = f"{title}: " if isinstance(title, str) and title else ""
        return cls(
            [_rule(rule, f"{prefix}rules[{number}]") for number, rule in enumerate(rules)],
            customers=customers,
        )

    def __repr__(self) -> str:
        """Show its size; principals are people."""
        return f"DenyPolicy({len(self.rules)} rules)"


def _rule(rule: object, name: str) -> DenyRule:
    """Read one rule whole: one that is not understood must not be skipped."""
    if not isinstance(rule, Mapping) or not isinstance(body := rule.get("denyRule"), Mapping):
        raise PolicyError(f"{name} must be an object with a 'denyRule'")
    if unknown := (rule.keys() - {"denyRule", "description"}) | (body.keys() - _RULE_MEMBERS):
        raise PolicyError(f"{name}: unknown member {min(map(str, unknown))!r}")
    permissions, kept = (_texts(body, part, name) for part in ("deniedPermissions", "exceptionPermissions"))
    for permission in (*permissions, *kept):
        if not _PERMISSION.fullmatch(permission):
            raise PolicyError(
                f"{name}: permission {permission!r} is not understood; deny policies spell them as in "
                "run.googleapis.com/routes.invoke"
            )
    try:
        denied, excepted = (
            tuple(map(DenyPrincipal.read, _texts(body, part, name)))
            for part in ("deniedPrincipals", "exceptionPrincipals")
        )
    except PolicyError as error:
        raise PolicyError(f"{name}: {error}") from None
    return DenyRule(name, denied, excepted, permissions, kept, _condition(body.get("denialCondition"), name))


def _texts(body: Mapping[str, object], part: str, name: str) -> tuple[str, ...]:
    found = body.get(part, ())
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise PolicyError(f"{name}: {part!r} must be a list of strings")
    return tuple(found)


def _condition(condition: object, name: str) -> str | None:
    if condition is None:
        return None
    if not isinstance(condition, Mapping) or not isinstance(text := condition.get("expression"), str):
        raise PolicyError(f"{name}: 'denialCondition' must be an object with an 'expression'")
    return text
