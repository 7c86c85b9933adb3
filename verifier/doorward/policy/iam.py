"""The invoker policy: does this principal hold ``run.routes.invoke``?"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from doorward.errors import ConfigurationError, PolicyError
from doorward.policy.members import ALL_AUTHENTICATED_USERS, ALL_USERS, canonical, identities
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.roles import INVOKE, INVOKER_ROLES
from doorward.strictjson import StrictJSONError, read_object
from doorward.tokens.principal import Principal

__all__ = ["Decision", "InvokerPolicy"]

_VERSIONS: Final = (0, 1, 3)  # https://cloud.google.com/iam/docs/reference/rest/v1/Policy


class Decision(NamedTuple):
    """What a policy says of a principal.

    Attributes:
        granted: Whether the principal may invoke.
        member: The member of the policy that it matched; None where none did.
        role: The role that grants it; None where none does.
        lasting: Whether it is the same for every request at any time, so that it may be remembered.
    """

    granted: bool
    member: str | None = None
    role: str | None = None
    lasting: bool = True


_NOT_GRANTED: Final = Decision(granted=False)


class InvokerPolicy:
    """An IAM policy, asked for one permission.

    It is immutable: what it says of a principal today it says for as long as it lives.
    """

    __slots__ = ("_granting", "public")

    def __init__(
        self,
        bindings: Iterable[tuple[str, Iterable[str]]],
        *,
        custom_roles: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Take the bindings of a policy; see `from_file` for what gcloud prints.

        Args:
            bindings: Pairs of role and members.
            custom_roles: The permissions of the custom roles that occur in the policy, by role name, as
                ``gcloud iam roles describe`` lists them under ``includedPermissions``.

        Raises:
            PolicyError: If a binding that could grant the permission is not understood.
        """
        granting: dict[str, str] = {}
        for role, members in bindings:
            if isinstance(members, str):
                raise PolicyError(f"the members of {role} must be a list, not one string")
            if _invokes(role, custom_roles or {}):
                for member in filter(None, map(canonical, members)):
                    granting.setdefault(member, role)
        self._granting: Final = granting
        self.public: Final = ALL_USERS in granting
        """Whether the policy admits everybody, credential or not."""

    @classmethod
    def from_members(cls, members: Iterable[str], *, role: str = "roles/run.invoker") -> InvokerPolicy:
        """Make the policy that binds one role to some members.

        Args:
            members: As IAM spells them, e.g. ``serviceAccount:caller@project.iam.gserviceaccount.com``.
            role: The role they hold.

        Returns:
            The policy.

        Raises:
            PolicyError: If a member is not understood, or the role does not hold the permission.
        """
        if role not in INVOKER_ROLES:
            raise PolicyError(f"role {role!r} does not hold {INVOKE}; roles/run.invoker does")
        return cls([(role, members)])

    @classmethod
    def all_authenticated_users(cls) -> InvokerPolicy:
        """Admit any Google account whatsoever: whoever mints a token chooses its audience."""
        return cls.from_members([ALL_AUTHENTICATED_USERS])

    @classmethod
    def all_users(cls) -> InvokerPolicy:
        """Admit everybody, credential or not."""
        return cls.from_members([ALL_USERS])

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, custom_roles: Mapping[str, Collection[str]] | None = None
    ) -> InvokerPolicy:
        """Read what ``gcloud run services get-iam-policy SERVICE --format=json`` prints.

        Args:
            path: The file.
            custom_roles: As for the constructor.

        Returns:
            The policy.

        Raises:
            PolicyError: If the file is not such a policy, or holds a binding that is not understood.
            ConfigurationError: If it cannot be read.
        """
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"the policy file {os.fspath(path)!r} cannot be read: {error.strerror}"
            ) from error
        try:
            return cls.from_json(text, custom_roles=custom_roles)
        except PolicyError as error:
            raise PolicyError(f"{os.fspath(path)}: {error}") from error

    @classmethod
    def from_json(
        cls, text: str | bytes, *, custom_roles: Mapping[str, Collection[str]] | None = None
    ) -> InvokerPolicy:
        """Read a policy from JSON text.

        Args:
            text: One policy object (https://cloud.google.com/iam/docs/reference/rest/v1/Policy).
            custom_roles: As for the constructor.

        Returns:
            The policy.

        Raises:
            PolicyError: If the text is not such a policy, or holds a binding that is not understood.
        """
        try:
            document = read_object(text.encode() if isinstance(text, str) else text)
        except (StrictJSONError, UnicodeEncodeError) as error:
            raise PolicyError(f"not a policy in JSON: {error}; print it with --format=json") from None
        return cls.from_dict(document, custom_roles=custom_roles)

    @classmethod
    def from_dict(
        cls, document: Mapping[str, object], *, custom_roles: Mapping[str, Collection[str]] | None = None
    ) -> InvokerPolicy:
        """Read a policy from its parsed form.

        Args:
            document: One policy object.
            custom_roles: As for the constructor.

        Returns:
            The policy.

        Raises:
            PolicyError: If it is not such a policy, or holds a binding that is not understood.
        """
        if unknown := document.keys() - {"bindings", "etag", "version", "auditConfigs", "kind", "resourceId"}:
            raise PolicyError(f"not a policy: unknown member {min(unknown)!r}")
        version = document.get("version", 0)
        if type(version) is not int or version not in _VERSIONS:
            raise PolicyError(f"policy version {version!r}; known are {', '.join(map(str, _VERSIONS))}")
        bindings = document.get("bindings", ())
        if not isinstance(bindings, list | tuple):
            raise PolicyError("'bindings' must be a list")
        roles = custom_roles or {}
        return cls([_binding(one, number, roles) for number, one in enumerate(bindings)], custom_roles=roles)

    def decide(self, principal: Principal, request: RequestFacts = ANYWHERE, now: float = 0.0) -> Decision:
        """Say whether a principal may invoke.

        Args:
            principal: The verified caller, or the anonymous one.
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            The decision, with the member and the role that grant it.
        """
        del request, now  # until there are conditions
        granting = self._granting
        for member in identities(principal):
            if member in granting:
                return Decision(True, member, granting[member])  # noqa: FBT003 - the field has a name
        return _NOT_GRANTED

    def __repr__(self) -> str:
        """Show its size; members are people."""
        return f"InvokerPolicy({len(self._granting)} members)"


def _invokes(role: str, custom_roles: Mapping[str, Collection[str]]) -> bool:
    """Tell whether a role holds the permission; a custom role that nobody described is an error, not a no."""
    if not isinstance(role, str):
        raise PolicyError(f"a role must be a string, not {type(role).__name__}")
    if role in custom_roles:
        if isinstance(permissions := custom_roles[role], str):
            raise PolicyError(f"the permissions of {role} must be a list, not one string")
        return INVOKE in permissions
    if role.startswith("roles/"):
        return role in INVOKER_ROLES
    raise PolicyError(
        f"{role!r} is a custom role, whose permissions are not in the policy: pass "
        f"custom_roles={{{role!r}: [...]}} with what "
        "'gcloud iam roles describe' lists under includedPermissions"
    )


def _binding(
    binding: object, number: int, roles: Mapping[str, Collection[str]]
) -> tuple[str, Collection[str]]:
    """Read one binding whole: what cannot be understood must not be skipped, it might have been the point."""
    where = f"bindings[{number}]"
    if not isinstance(binding, Mapping):
        raise PolicyError(f"{where} must be an object")
    role, members = binding.get("role"), binding.get("members", ())
    if not isinstance(role, str) or not role:
        raise PolicyError(f"{where} has no role")
    if not isinstance(members, list | tuple):
        raise PolicyError(f"{where} ({role}): 'members' must be a list")
    if unknown := binding.keys() - {"role", "members", "condition"}:
        raise PolicyError(f"{where} ({role}): unknown member {min(map(str, unknown))!r}")
    if binding.get("condition") is not None and _invokes(role, roles):
        raise PolicyError(
            f"{where} ({role}) has a condition, which is not supported yet: without it the binding would "
            "grant more, and skipping it would grant less, than the policy says"
        )
    return role, members
