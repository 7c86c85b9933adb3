"""The invoker policy: does this principal hold ``run.routes.invoke``?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Unpack

from doorward.errors import PolicyError
from doorward.policy.bindings import Binding, BindingReader, PolicySettings, written
from doorward.policy.decision import Decision
from doorward.policy.deny.matching import denials_of
from doorward.policy.evaluation import Evaluation, PolicyIndex
from doorward.policy.files import read_file, read_json, read_yaml, thaw
from doorward.policy.groups import Resolver, resolver
from doorward.policy.members import ALL_AUTHENTICATED_USERS, ALL_USERS, KnownAccounts
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.roles import INVOKE, check_permission, narrowest_role, role_holds
from doorward.tokens.principal import Principal

if TYPE_CHECKING:
    from doorward.policy.deny.policy import DenyPolicy
    from doorward.policy.explanation import PolicyExplanation

__all__ = ["Binding", "Decision", "InvokerPolicy", "PolicySettings"]

_VERSIONS: Final = (0, 1, 3)  # https://cloud.google.com/iam/docs/reference/rest/v1/Policy
_DISABLED: Final = "run.googleapis.com/invoker-iam-disabled"


class InvokerPolicy:
    """An IAM policy, asked for one permission.

    It is immutable: what it says of a principal today it says for as long as it lives, conditions and groups
    excepted.
    """

    __slots__ = ("_disabled", "_document", "_groups", "_permission", "_public", "_table")

    def __init__(
        self,
        bindings: Iterable[Binding | tuple[str, Iterable[str]]],
        **settings: Unpack[PolicySettings],
    ) -> None:
        """Take the bindings of a policy; see `from_file` for what gcloud prints.

        Args:
            bindings: `Binding`, or pairs of role and members.
            **settings: See `PolicySettings`.

        Raises:
            PolicyError: If a binding that could grant the permission is not understood.
        """
        read = BindingReader(settings)
        rules, raw = [], []
        for number, binding in enumerate(bindings):
            one = binding if isinstance(binding, Binding) else Binding(*binding)
            if isinstance(one.members, str):
                raise PolicyError(f"the members of {one.role} must be a list, not one string")
            members = list(one.members)
            if read.holds(one.role):
                rules.append(read.rule(f"bindings[{number}]", one.role, members, one.condition))
            condition = {} if one.condition is None else {"condition": written(one.condition)}
            raw.append({"role": one.role, "members": members, **condition})
        document = {"bindings": raw, "version": 3 if any("condition" in one for one in raw) else 1}
        self._set(PolicyIndex(rules, (), read.known), document, read.permission, read.groups)

    def _set(
        self,
        table: PolicyIndex,
        document: Mapping[str, Any],
        permission: str,
        groups: Resolver,
        *,
        disabled: bool = False,
    ) -> None:
        self._table = table
        self._document = document
        self._groups = groups
        self._disabled = disabled
        self._permission = permission
        self._public = disabled or table.public

    @property
    def permission(self) -> str:
        """What is asked for."""
        return self._permission

    @property
    def public(self) -> bool:
        """Whether the policy admits somebody without a credential, be it under conditions."""
        return self._public

    @classmethod
    def _of(
        cls,
        table: PolicyIndex,
        document: Mapping[str, Any],
        permission: str,
        groups: Resolver,
        *,
        disabled: bool = False,
    ) -> InvokerPolicy:
        policy = cls.__new__(cls)
        policy._set(table, document, permission, groups, disabled=disabled)  # noqa: SLF001 - its own class
        return policy

    @classmethod
    def from_members(
        cls, members: Iterable[str], *, role: str | None = None, **settings: Unpack[PolicySettings]
    ) -> InvokerPolicy:
        """Make the policy that binds one role to some members.

        Args:
            members: As IAM spells them, e.g. ``serviceAccount:caller@project.iam.gserviceaccount.com``.
            role: The role they hold; by default the one made for the permission, ``roles/run.invoker``.
            **settings: See `PolicySettings`.

        Returns:
            The policy.

        Raises:
            PolicyError: If a member is not understood, or the role does not hold the permission.
        """
        permission = check_permission(settings.get("permission", INVOKE))
        usual = narrowest_role(permission)
        held = usual if role is None else role
        described = settings.get("custom_roles") or {}
        known = held.startswith("roles/") or held in described
        if not known or not role_holds(held, permission, described):
            raise PolicyError(f"role {held!r} does not hold {permission}; {usual} does")
        return cls([Binding(held, members)], **settings)

    @classmethod
    def all_authenticated_users(cls) -> InvokerPolicy:
        """Admit any Google account whatsoever: whoever mints a token chooses its audience."""
        return cls.from_members([ALL_AUTHENTICATED_USERS])

    @classmethod
    def all_users(cls) -> InvokerPolicy:
        """Admit everybody, credential or not."""
        return cls.from_members([ALL_USERS])

    @classmethod
    def check_disabled(cls, *, permission: str = INVOKE) -> InvokerPolicy:
        """Admit everybody, as a service whose invoker check is switched off does.

        It is the check of IAM as a whole that is off, deny policies included: that these are not asked either
        is concluded from what Google documents, not said there.

        Args:
            permission: What is not asked for.

        Returns:
            The policy.
        """
        table = PolicyIndex((), (), KnownAccounts())
        return cls._of(
            table, MappingProxyType({}), check_permission(permission), resolver(None), disabled=True
        )

    @classmethod
    def from_service(
        cls, service: Mapping[str, object], policy: InvokerPolicy | None = None
    ) -> InvokerPolicy:
        """Read from the description of a service whether its invoker check is switched off.

        Args:
            service: What ``gcloud run services describe --format=json`` prints (the annotation
                ``run.googleapis.com/invoker-iam-disabled``), or the v2 API (``invokerIamDisabled``).
            policy: What decides where the check is on.

        Returns:
            `check_disabled`, or the policy.

        Raises:
            PolicyError: If the check is on and no policy was passed, or the description is not understood.
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
        if flag or annotated == "true":
            return cls.check_disabled(permission=INVOKE if policy is None else policy.permission)
        if policy is None:
            raise PolicyError("the invoker check of the service is on: pass the policy that decides")
        return policy

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **settings: Unpack[PolicySettings]) -> InvokerPolicy:
        """Read what ``gcloud run services get-iam-policy SERVICE`` prints, as JSON or as YAML.

        Args:
            path: The file. ``.json``, ``.yaml`` and ``.yml`` say what it is; otherwise its first character
                does. YAML needs the extra ``yaml``.
            **settings: See `PolicySettings`.

        Returns:
            The policy.

        Raises:
            PolicyError: If the file is not such a policy, or holds a binding that is not understood.
            ConfigurationError: If it cannot be read.
        """
        try:
            return cls._read(read_file(path), settings, f"{os.path.basename(path)} ")  # noqa: PTH119 - of any path
        except PolicyError as error:
            raise PolicyError(f"{os.fspath(path)}: {error}") from error

    @classmethod
    def from_json(cls, text: str | bytes, **settings: Unpack[PolicySettings]) -> InvokerPolicy:
        """Read a policy from JSON text.

        Args:
            text: One policy object (https://cloud.google.com/iam/docs/reference/rest/v1/Policy).
            **settings: See `PolicySettings`.

        Returns:
            The policy.

        Raises:
            PolicyError: If the text is not such a policy, or holds a binding that is not understood.
        """
        return cls._read(read_json(text), settings)

    @classmethod
    def from_yaml(cls, text: str | bytes, **settings: Unpack[PolicySettings]) -> InvokerPolicy:
        """Read a policy from YAML text, with the extra ``yaml``.

        Args:
            text: One policy object.
            **settings: See `PolicySettings`.

        Returns:
            The policy.

        Raises:
            PolicyError: If the text is not such a policy, or holds a binding that is not understood.
        """
        return cls._read(read_yaml(text), settings)

    @classmethod
    def from_dict(cls, document: Mapping[str, object], **settings: Unpack[PolicySettings]) -> InvokerPolicy:
        """Read a policy from its parsed form.

        Args:
            document: One policy object. The policy keeps a copy.
            **settings: See `PolicySettings`.

        Returns:
            The policy.

        Raises:
            PolicyError: If it is not such a policy, or holds a binding that is not understood.
        """
        return cls._read(document, settings)

    @classmethod
    def _read(
        cls, document: Mapping[str, object], settings: PolicySettings, source: str = ""
    ) -> InvokerPolicy:
        if unknown := document.keys() - {"bindings", "etag", "version", "auditConfigs", "kind", "resourceId"}:
            raise PolicyError(f"not a policy: unknown member {min(map(str, unknown))!r}")
        version = document.get("version", 0)
        if type(version) is not int or version not in _VERSIONS:
            raise PolicyError(f"policy version {version!r}; known are {', '.join(map(str, _VERSIONS))}")
        bindings = document.get("bindings", ())
        if not isinstance(bindings, list | tuple):
            raise PolicyError("'bindings' must be a list")
        read = BindingReader(settings)
        found = (read.binding(one, f"bindings[{number}]", source) for number, one in enumerate(bindings))
        table = PolicyIndex(filter(None, found), (), read.known)
        return cls._of(table, _copy(document), read.permission, read.groups)

    @classmethod
    def join(cls, *policies: InvokerPolicy) -> InvokerPolicy:
        """Unite the policies that a service inherits: its own, its project's, folders' and organisation's.

        Args:
            policies: At least one; all of them asked for the same permission.

        Returns:
            The policy that grants what any of them grants, and denies what any of them denies. Written back,
            it has the bindings of all, and no etag: it belongs to none of the resources.

        Raises:
            PolicyError: If there is none, or they do not go together.
        """
        if not policies:
            raise PolicyError("pass the policies to join")
        first = policies[0]
        if any(policy.permission != first.permission for policy in policies):
            raise PolicyError("policies that are asked for different permissions cannot be joined")
        known = KnownAccounts()
        for policy in policies:
            known = known.joined(policy._table.known)  # noqa: SLF001 - its own class
        rules = [rule for policy in policies for rule in policy._table.rules]  # noqa: SLF001
        denials = [
            replace(denial, known=known)
            for policy in policies
            for denial in policy._table.denials  # noqa: SLF001
        ]
        documents = [policy.to_dict() for policy in policies]
        document: dict[str, Any] = {
            part: [one for document in documents for one in document.get(part, ())]
            for part in ("bindings", "auditConfigs")
            if any(part in document for document in documents)
        }
        document["version"] = max(document.get("version", 0) for document in documents)
        return cls._of(
            PolicyIndex(rules, denials, known),
            _copy(document),
            first.permission,
            first._groups,  # noqa: SLF001
            disabled=any(policy._disabled for policy in policies),  # noqa: SLF001
        )

    def with_deny(self, *policies: DenyPolicy) -> InvokerPolicy:
        """Put deny policies before the bindings.

        Args:
            policies: The deny policies of the project, folders and organisation. Their groups are resolved as
                those of this policy.

        Returns:
            The policy with them; `to_dict` does not write them, since they are no part of this one.

        Raises:
            PolicyError: If a rule about the permission could not be decided on.
        """
        table = self._table
        denials = [
            denial
            for policy in policies
            for denial in denials_of(policy, self.permission, self._groups, table.known)
        ]
        return self._of(
            PolicyIndex(table.rules, (*table.denials, *denials), table.known),
            self._document,
            self.permission,
            self._groups,
            disabled=self._disabled,
        )

    def decide(self, principal: Principal, request: RequestFacts = ANYWHERE, now: float = 0.0) -> Decision:
        """Say whether a principal may invoke. Waits for nothing, unless a function given as ``groups`` does.

        Args:
            principal: The verified caller, or the anonymous one.
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            The decision, with the member and the role that grant it.
        """
        if self._disabled:
            return _EVERYBODY
        return self._table.decide(principal, request, now)

    def explain(
        self, principal: Principal, request: RequestFacts = ANYWHERE, now: float = 0.0
    ) -> PolicyExplanation:
        """Say why a principal may invoke, or may not.

        Args:
            principal: The verified caller, or the anonymous one.
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            The decision, as `decide` makes it, with everything that had a say in it.
        """
        from doorward.policy.explanation import PolicyExplanation  # noqa: PLC0415 - nothing is accounted for at a start

        if self._disabled:
            return PolicyExplanation(str(principal), self.permission, _EVERYBODY, True, (), ())  # noqa: FBT003 - the field has a name
        evaluation = Evaluation(self._table, principal, request, now)
        return PolicyExplanation(
            principal=str(principal),
            permission=self.permission,
            decision=evaluation.decision(),
            check_disabled=False,
            deny=tuple(evaluation.denials()),
            bindings=tuple(evaluation.bindings()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Write the policy back.

        Returns:
            What it was read from, with everything that was in it: etag, version, audit configuration.
        """
        return {name: thaw(value) for name, value in self._document.items()}

    def to_json(self, *, indent: int | None = 2) -> str:
        """Write the policy back as JSON, its members sorted as gcloud prints them.

        Args:
            indent: Spaces for each level; None for one line.

        Returns:
            The text.
        """
        return json.dumps(self.to_dict(), indent=indent, sort_keys=True)

    def __repr__(self) -> str:
        """Show its size; members are people."""
        if self._disabled:
            return "InvokerPolicy(check disabled)"
        denials = f", {len(self._table.denials)} deny rules" if self._table.denials else ""
        return f"InvokerPolicy({self._table.size} members{denials})"


_EVERYBODY: Final = Decision(granted=True)


def _copy(document: Mapping[str, object]) -> Mapping[str, Any]:
    return MappingProxyType({str(name): thaw(value) for name, value in document.items()})
