"""The bindings of a policy, and how they are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple, TypedDict

from doorward.errors import PolicyError
from doorward.policy.conditions.resource_tags import ResourceTags
from doorward.policy.decision import BindingCondition
from doorward.policy.documents.remarks import Remarks
from doorward.policy.index import PermissionBinding
from doorward.policy.membership.groups import Groups, Resolver, resolver
from doorward.policy.membership.identities import KnownAccounts
from doorward.policy.membership.members import Member, read_member
from doorward.policy.roles import INVOKE, check_permission, is_described, role_holds
from doorward.shown import first_quoted, quoted, shortened

__all__ = ["Binding", "BindingReader", "PolicySettings"]

_MEMBERS: Final = frozenset({"role", "members", "condition", "bindingId"})


class Binding(NamedTuple):
    """One binding of a policy, as the user writes it.

    Attributes:
        role: The role.
        members: The members that hold it.
        condition: The condition under which they hold it; None if they always do.
    """

    role: str
    members: Iterable[str]
    condition: BindingCondition | None = None


class PolicySettings(TypedDict, total=False):
    """What a policy does not say, and its decisions may depend on. All are optional.

    Attributes:
        permission: The permission to decide on, one of `doorward.policy.roles.ROLES`; ``run.routes.invoke``
            by default.
        custom_roles: The permissions of the custom roles that occur in the policy, by role name, as
            ``gcloud iam roles describe`` lists them under ``includedPermissions``. A custom role that is not
            listed grants nothing, which is logged.
        groups: How to resolve the groups that the policy names: the members of each group, by its address; a
            function of the group's address and the principal; or a directory such as `CloudIdentityGroups`. A
            policy that names a group does not load without it.
        unique_ids: The unique ids (``sub``) of accounts, by member (``serviceAccount:EMAIL``). A principal
            whose token has no e-mail is matched by it. A principal whose unique id is not the one given for
            its address is not that member: the address has changed hands.
        project_numbers: The numbers of projects, by project id, for members that stand for all service
            accounts of a project.
        resource_tags: All tags of the service, also those that it inherits, by their keys, for conditions
            that ask for them: ``{"123456789012/env": "prod"}`` for `resource.matchTag` and
            `resource.hasTagKey`, ``{"tagKeys/123": "tagValues/456"}`` for those functions that take ids. No
            request carries them: where they are not given, such a part of a condition grants nothing.
        strict: Whether to refuse a policy with a role whose permissions are not known, with a role that is
            almost that of an invoker, or with a condition that is not understood. By default such a binding
            grants nothing, which is logged.
    """

    permission: str
    custom_roles: Mapping[str, Collection[str]] | None
    groups: Groups | None
    unique_ids: Mapping[str, str] | None
    project_numbers: Mapping[str, str] | None
    resource_tags: Mapping[str, str] | None
    strict: bool


_SETTINGS: Final = tuple(PolicySettings.__annotations__)
_MAPPINGS: Final = frozenset({"custom_roles", "unique_ids", "project_numbers", "resource_tags"})


class BindingReader:
    """Reads bindings under given settings.

    Attributes:
        permission: The permission to decide on.
        groups: Resolves groups.
        known: What the user of the policy knows of accounts.
        tags: The tags of the service; None if they are not known.
        remarks: What has been read and grants nothing.
        count: The number of bindings that have been read, whatever their roles.
    """

    def __init__(self, settings: PolicySettings) -> None:
        """Check the settings.

        Args:
            settings: See `PolicySettings`.

        Raises:
            PolicyError: If one of them is not usable.
        """
        _check_settings(settings)
        self.permission: Final[str] = check_permission(settings.get("permission", INVOKE))
        self.groups: Final[Resolver] = resolver(settings.get("groups"))
        self.known: Final[KnownAccounts] = KnownAccounts(
            settings.get("unique_ids") or {}, settings.get("project_numbers") or {}
        )
        self.tags: Final[ResourceTags | None] = ResourceTags.read(settings.get("resource_tags"))
        self.remarks: Final[Remarks] = Remarks(self.permission, strict=settings.get("strict", False))
        self.count: int = 0
        self._custom_roles: Final = settings.get("custom_roles") or {}

    def read(self, document: object, position: str, source: str) -> PermissionBinding | None:
        """Read one binding of a policy document whole: a part that is not understood must not be skipped.

        Args:
            document: The binding, as the policy document has it.
            position: Its position in the policy document.
            source: What explanations write before the position.

        Returns:
            The binding; None if its role does not hold the permission.

        Raises:
            PolicyError: If it is not understood.
        """
        if not isinstance(document, Mapping):
            raise PolicyError(f"{position} must be an object")
        role, members = document.get("role"), document.get("members")
        if not isinstance(role, str) or not role:
            raise PolicyError(f"{position} has no role")
        where = f"{position} ({shortened(role)})"
        members = () if members is None else members  # what has no value is written as null by some tools
        if not isinstance(members, list | tuple):
            raise PolicyError(f"{where}: 'members' must be a list")
        if unknown := document.keys() - _MEMBERS:
            raise PolicyError(f"{where}: unknown member {first_quoted(unknown)}")
        try:
            if not self.role_holds(role):
                return None
            condition = self._read_condition(document.get("condition"), f"{source}{where}")
            return self.make(f"{source}{position}", role, members, condition)
        except PolicyError as error:
            raise PolicyError(f"{where}: {error}") from error

    def role_holds(self, role: object) -> bool:
        """Return whether a role holds the permission, and take it down if that may be a mistake.

        Args:
            role: The name of the role.

        Raises:
            PolicyError: If it is not a role; in strict mode also if its permissions are not known.
        """
        if not isinstance(role, str):
            raise PolicyError(f"a role must be a string, not {type(role).__name__}")
        self.count += 1
        if role_holds(role, self.permission, self._custom_roles):
            return True
        self.remarks.role_without_permission(role, described=is_described(role, self._custom_roles))
        return False

    def make(
        self, name: str, role: str, members: Iterable[object], condition: BindingCondition | None
    ) -> PermissionBinding:
        """Read the members of a binding whose role holds the permission.

        Args:
            name: Its position, as explanations write it.
            role: Its role.
            members: Its members.
            condition: Its condition; None if it has none.

        Returns:
            The binding.

        Raises:
            PolicyError: If a member is not understood, or is a group that cannot be resolved.
        """
        return PermissionBinding(
            name, shortened(role), tuple(map(self._member, members)), condition, self.groups
        )

    def _member(self, text: object) -> Member:
        member = read_member(text, self.known.project_numbers)
        if member.group is not None:
            self.groups.check(member.group)
        return member

    def _read_condition(self, condition: object, binding: str) -> BindingCondition | None:
        """Read a condition (https://cloud.google.com/iam/docs/reference/rest/Shared.Types/Expr)."""
        if condition is None:
            return None
        expression, title = _condition_texts(condition)
        # Most policies have no condition, and need not load what evaluates one.
        from doorward.policy.conditions.condition import compile_condition  # noqa: PLC0415
        from doorward.policy.conditions.library import check_library  # noqa: PLC0415
        from doorward.policy.conditions.unreadable import UnreadableCondition  # noqa: PLC0415

        check_library()
        try:
            compiled: BindingCondition = compile_condition(expression, title, self.tags)
        except PolicyError as error:
            if self.remarks.strict:
                raise PolicyError(f"the condition is not understood: {error}") from error
            self.remarks.unreadable_condition(binding, str(error))
            return UnreadableCondition(expression, title, str(error))
        return compiled


def _check_settings(settings: PolicySettings) -> None:
    if unknown := settings.keys() - _SETTINGS:
        raise PolicyError(
            f"{first_quoted(unknown)} is no setting of a policy: they are {', '.join(_SETTINGS)}"
        )
    for name, value in settings.items():
        if name in _MAPPINGS and value is not None and not isinstance(value, Mapping):
            raise PolicyError(f"{name} must be a mapping, not {type(value).__name__}")
    if not isinstance(settings.get("strict", False), bool):
        raise PolicyError(f"strict must be True or False, not {quoted(settings.get('strict'))}")


def _condition_texts(condition: object) -> tuple[str, str]:
    """Return the expression and the title of a condition."""
    if not isinstance(condition, Mapping):
        raise PolicyError("the condition must be an object")
    if unknown := condition.keys() - {"title", "description", "expression", "location"}:
        raise PolicyError(f"the condition has an unknown member {first_quoted(unknown)}")
    expression, title = condition.get("expression"), condition.get("title")
    title = "" if title is None else title
    if not isinstance(expression, str) or not expression.strip():
        raise PolicyError("the condition has no expression")
    if not isinstance(title, str):
        raise PolicyError("the title of the condition must be a string")
    return expression, title
