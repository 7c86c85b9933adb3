"""Bindings of a policy, and what it takes to understand them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, TypedDict

from doorward.errors import PolicyError
from doorward.policy.decision import BindingCondition
from doorward.policy.evaluation import PermissionBinding
from doorward.policy.groups import Groups, resolver
from doorward.policy.members import KnownAccounts, Member, read_member
from doorward.policy.roles import INVOKE, check_permission, role_holds

__all__ = ["Binding", "BindingReader", "PolicySettings", "written"]


class Binding(NamedTuple):
    """One binding of a policy.

    Attributes:
        role: The role.
        members: Who holds it.
        condition: When they do; None for always.
    """

    role: str
    members: Iterable[str]
    condition: BindingCondition | None = None


class PolicySettings(TypedDict, total=False):
    """What a policy file does not say, and its reader may have to be told; each may be left out.

    Attributes:
        permission: What is asked for, one of `doorward.policy.roles.ROLES`; ``run.routes.invoke`` by default.
        custom_roles: The permissions of the custom roles that occur in the policy, by role name, as
            ``gcloud iam roles describe`` lists them under ``includedPermissions``.
        groups: Tells who is in a group: the members of each group, by its address; a function of the group's
            address and the principal; or a directory such as `CloudIdentityGroups`. A policy that names a
            group does not load without.
        unique_ids: The unique id (``sub``) of accounts, by member (``serviceAccount:EMAIL``). A caller whose
            token holds no e-mail is matched by it; and an address whose account is another one by now, is not
            that member any more.
        project_numbers: The numbers of projects, by project id, for members that stand for all service
            accounts of a project.
    """

    permission: str
    custom_roles: Mapping[str, Collection[str]] | None
    groups: Groups | None
    unique_ids: Mapping[str, str] | None
    project_numbers: Mapping[str, str] | None


class BindingReader:
    """Reads bindings under given settings."""

    def __init__(self, settings: PolicySettings) -> None:
        """Take the settings.

        Args:
            settings: See `PolicySettings`.

        Raises:
            PolicyError: If they are not usable.
        """
        self.permission = check_permission(settings.get("permission", INVOKE))
        self.groups = resolver(settings.get("groups"))
        self.known = KnownAccounts(settings.get("unique_ids") or {}, settings.get("project_numbers") or {})
        self._roles = settings.get("custom_roles") or {}

    def holds(self, role: object) -> bool:
        """Tell whether a role holds the permission.

        Args:
            role: Its name.

        Returns:
            Whether it does.

        Raises:
            PolicyError: If it is not a role, or one that is not described.
        """
        return role_holds(role, self.permission, self._roles)

    def binding(self, binding: object, where: str, source: str) -> PermissionBinding | None:
        """Read one binding whole: what is not understood must not be skipped, it might have been the point.

        Args:
            binding: As the document has it.
            where: Where it stands in the document.
            source: What comes before that in accounts.

        Returns:
            The binding; None if its role does not hold the permission.

        Raises:
            PolicyError: If it is not understood.
        """
        if not isinstance(binding, Mapping):
            raise PolicyError(f"{where} must be an object")
        role, members = binding.get("role"), binding.get("members", ())
        if not isinstance(role, str) or not role:
            raise PolicyError(f"{where} has no role")
        if not isinstance(members, list | tuple):
            raise PolicyError(f"{where} ({role}): 'members' must be a list")
        if unknown := binding.keys() - {"role", "members", "condition"}:
            raise PolicyError(f"{where} ({role}): unknown member {min(map(str, unknown))!r}")
        if not self.holds(role):
            return None
        try:
            return self.rule(f"{source}{where}", role, members, _condition(binding.get("condition")))
        except PolicyError as error:
            raise PolicyError(f"{where} ({role}): {error}") from error

    def rule(
        self, name: str, role: str, members: Iterable[object], condition: BindingCondition | None
    ) -> PermissionBinding:
        """Read the members of a binding.

        Args:
            name: Where it stands.
            role: Its role.
            members: Its members.
            condition: Its condition, if it has one.

        Returns:
            The binding.

        Raises:
            PolicyError: If a member is not understood, or a group without a way to tell who is in it.
        """
        return PermissionBinding(name, role, tuple(map(self._member, members)), condition, self.groups)

    def _member(self, text: object) -> Member:
        member = read_member(text, self.known.project_numbers)
        if member.group is not None:
            self.groups.check(member.group)
        return member


def _condition(condition: object) -> BindingCondition | None:
    """Read a condition (https://cloud.google.com/iam/docs/reference/rest/Shared.Types/Expr)."""
    if condition is None:
        return None
    if not isinstance(condition, Mapping):
        raise PolicyError("the condition must be an object")
    if unknown := condition.keys() - {"title", "description", "expression", "location"}:
        raise PolicyError(f"the condition has an unknown member {min(map(str, unknown))!r}")
    expression, title = condition.get("expression"), condition.get("title", "")
    if not isinstance(expression, str) or not expression.strip():
        raise PolicyError("the condition has no expression")
    if not isinstance(title, str):
        raise PolicyError("the title of the condition must be a string")
    # Most policies have no condition, and need not load what evaluates one.
    from doorward.policy.conditions.condition import compile_condition  # noqa: PLC0415

    try:
        compiled: BindingCondition = compile_condition(expression, title)
    except PolicyError as error:
        raise PolicyError(f"the condition is not understood: {error}") from error
    return compiled


def written(condition: BindingCondition) -> dict[str, str]:
    """Write a condition back.

    Args:
        condition: The condition of a binding.

    Returns:
        What a policy document holds for it.
    """
    named = {"title": condition.title} if condition.title else {}
    return {"expression": condition.expression, **named}
