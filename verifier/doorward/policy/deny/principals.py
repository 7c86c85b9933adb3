"""The principals of deny rules: the forms in which deny policies write them, read.

The forms are those of https://cloud.google.com/iam/docs/principal-identifiers. They are not those that the
members of bindings have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import fold
from doorward.policy.membership.members import federated_reason, read_resource_set
from doorward.shown import quoted

__all__ = ["DenyPrincipal"]

_EVERYONE: Final = "principalSet://goog/public:all"
# By the attribute of `DenyPrincipal` that the value between the parentheses becomes.
_FORMS: Final = (
    ("account", re.compile(r"principal://goog/subject/([^@\s/]+@[^@\s/]+)")),
    (
        "account",
        re.compile(
            r"principal://iam\.googleapis\.com/projects/(?:-|[^/\s]+)/serviceAccounts/([^@\s/]+@[^@\s/]+|\d+)"
        ),
    ),
    ("group", re.compile(r"principalSet://goog/group/([^@\s/]+@[^@\s/]+)")),
    ("customer", re.compile(r"principalSet://goog/cloudIdentityCustomerId/(C\w+)")),
)
_DELETED: Final = re.compile(r"deleted:principal(?:Set)?://\S+")


@dataclass(frozen=True, slots=True)
class DenyPrincipal:
    """One principal of a deny rule, read. Exactly one attribute beside `text` is set.

    Attributes:
        text: The principal, as the policy has it.
        everyone: Whether it stands for every request, with or without a credential.
        account: The address of an account, in lower case, or its unique id.
        group: The address of a group, in lower case.
        customer: The id of a Workspace or Cloud Identity customer.
        project: The number of a project, for all service accounts of that project.
        agents_of: A resource, for all service agents of that resource: ``projects``, ``folders`` or
            ``organizations``, and its number.
        never_reason: Why no principal with an ID token can be it.
        undecidable_reason: Why an ID token does not show whether its principal is it.
    """

    text: str
    everyone: bool = False
    account: str | None = None
    group: str | None = None
    customer: str | None = None
    project: str | None = None
    agents_of: tuple[str, str] | None = None
    never_reason: str | None = None
    undecidable_reason: str | None = None

    @classmethod
    def read(cls, text: str) -> DenyPrincipal:
        """Read a principal of a deny rule.

        Args:
            text: The principal, as IAM prints it.

        Returns:
            The principal, read.

        Raises:
            PolicyError: If it does not have one of the known forms.
        """
        if text == _EVERYONE:
            return cls(text, everyone=True)
        for attribute, form in _FORMS:
            if found := form.fullmatch(text):
                value: dict[str, Any] = {attribute: fold(found[1]) if "@" in found[1] else found[1]}
                return cls(text, **value)
        if _DELETED.fullmatch(text):
            return cls(text, never_reason="a deleted account presents no ID token")
        if (reason := federated_reason(text)) is not None:
            return cls(text, never_reason=reason)
        if (resource_set := read_resource_set(text)) is not None:
            resource, number, account_type = resource_set
            if (resource, account_type) == ("projects", "ServiceAccount"):
                return cls(text, project=number)
            agents_of = (resource, number) if account_type == "ServiceAgent" else None
            reason = f"which {resource} an account belongs to is not in its ID token"
            return cls(text, agents_of=agents_of, undecidable_reason=None if agents_of else reason)
        raise PolicyError(
            f"principal {quoted(text)} is not understood; deny policies have forms of their own: "
            "principal://goog/subject/EMAIL, principalSet://goog/group/EMAIL, "
            "principal://iam.googleapis.com/projects/-/serviceAccounts/EMAIL, "
            "principalSet://goog/cloudIdentityCustomerId/ID, principalSet://goog/public:all"
        )
