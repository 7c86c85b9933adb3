"""The invoker policy: whether a principal holds ``run.routes.invoke``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from doorward.errors import PolicyError
from doorward.issuers.issuer import Issuer
from doorward.policy.decision import Decision
from doorward.policy.documents.ancestors import read_policy
from doorward.policy.documents.bindings import Binding, PolicySettings
from doorward.policy.documents.document import plain_copy, read_bindings
from doorward.policy.documents.loaded import (
    LoadedPolicy,
    disabled_policy,
    join_policies,
    users_of,
    with_denials,
)
from doorward.policy.documents.service import check_is_disabled
from doorward.policy.evaluation import Evaluation, decide
from doorward.policy.files.file import read_file, read_json
from doorward.policy.files.yaml_reader import read_yaml
from doorward.policy.membership.members import ALL_AUTHENTICATED_USERS, ALL_USERS
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.roles import INVOKE, check_permission, role_to_grant
from doorward.shown import shortened
from doorward.tokens.principal import Principal

if TYPE_CHECKING:  # a caller that passes a deny policy has loaded it; explanations are made lazily
    from doorward.policy.deny.policy import DenyPolicy
    from doorward.policy.explanation import PolicyExplanation

__all__ = ["InvokerPolicy"]

_CHECK_DISABLED: Final = Decision(granted=True, same_for_every_request=True)


class InvokerPolicy:
    """An IAM policy, asked for one permission.

    It is immutable: its decision on a principal never changes, unless the decision depends on a condition
    or a group.
    """

    __slots__ = ("_disabled", "_index", "_loaded", "_public")

    def __init__(
        self,
        bindings: Iterable[Binding | tuple[str, Iterable[str]]],
        **settings: Unpack[PolicySettings],
    ) -> None:
        """Make a policy of bindings; `from_file` reads what gcloud prints.

        Args:
            bindings: `Binding`, or pairs of role and members.
            **settings: See `PolicySettings`.

        Raises:
            PolicyError: If a binding whose role holds the permission is not understood.
        """
        self._take(read_bindings(bindings, settings))

    def _take(self, policy: LoadedPolicy) -> None:
        self._loaded = policy
        # Every decision reads these.
        self._index = policy.index
        self._disabled = policy.check_disabled
        self._public = policy.check_disabled or policy.index.public

    @classmethod
    def _of(cls, loaded: LoadedPolicy) -> InvokerPolicy:
        policy = cls.__new__(cls)
        policy._take(loaded)  # noqa: SLF001 - its own class
        return policy

    @property
    def permission(self) -> str:
        """The permission that the policy decides on."""
        return self._loaded.permission

    @property
    def public(self) -> bool:
        """Whether the policy admits a request without a credential, even if only under conditions."""
        return self._public

    @property
    def group_directories(self) -> tuple[object, ...]:
        """What is asked for the members of the groups that it names: a directory or a function, each once."""
        resolvers = [binding.groups for _, binding, _ in self._index.groups]
        resolvers += [denial.groups for denial in self._index.denials if denial.asks_for_groups]
        asked = {id(one.directory): one.directory for one in resolvers if one.directory is not None}
        return tuple(asked.values())

    @classmethod
    def from_members(
        cls, members: Iterable[str], *, role: str | None = None, **settings: Unpack[PolicySettings]
    ) -> InvokerPolicy:
        """Make a policy that grants one role to some members.

        Args:
            members: The members, as IAM writes them, e.g. ``serviceAccount:a@p.iam.gserviceaccount.com``.
            role: Their role; by default the one that exists for the permission, ``roles/run.invoker``.
            **settings: See `PolicySettings`.

        Returns:
            The policy.

        Raises:
            PolicyError: If a member is not understood, or the role does not hold the permission.
        """
        permission = check_permission(settings.get("permission", INVOKE))
        granted = role_to_grant(permission, role, settings.get("custom_roles") or {})
        return cls([Binding(granted, members)], **settings)

    @classmethod
    def all_authenticated_users(cls) -> InvokerPolicy:
        """Return the policy that admits any Google account in the world: callers choose their audience."""
        return cls.from_members([ALL_AUTHENTICATED_USERS])

    @classmethod
    def all_users(cls) -> InvokerPolicy:
        """Return the policy that admits every request, with or without a credential."""
        return cls.from_members([ALL_USERS])

    @classmethod
    def users_of(cls, *issuers: Issuer, permission: str = INVOKE) -> InvokerPolicy:
        """Return the policy that admits every user of some issuers, and no other caller.

        It is for issuers whose users are no Google accounts, so that IAM has no member for them: a Firebase
        project, or one's own issuer. Every account there is such a user; where accounts can be made freely,
        any person has one. `join` adds the members of an IAM policy.

        Args:
            issuers: At least one, as the verifier was given them.
            permission: The permission to decide on.

        Returns:
            The policy. `to_dict` writes no binding for it, because IAM has none.

        Raises:
            PolicyError: If there is none, or if one of them is not an `Issuer`.
        """
        return cls._of(users_of(issuers, permission))

    @classmethod
    def check_disabled(cls, *, permission: str = INVOKE) -> InvokerPolicy:
        """Return the policy that admits every request, as a service whose invoker check is switched off does.

        The check of IAM as a whole is off, so deny policies are not evaluated either. Google's documents do
        not say the latter; it is concluded from them.

        Args:
            permission: The permission that is not checked.

        Raises:
            PolicyError: If the permission is not known.
        """
        return cls._of(disabled_policy(permission))

    @classmethod
    def from_service(
        cls, service: Mapping[str, object], policy: InvokerPolicy | None = None
    ) -> InvokerPolicy:
        """Return the policy of a service: its description says whether its invoker check is switched off.

        Args:
            service: What ``gcloud run services describe --format=json`` prints (the annotation
                ``run.googleapis.com/invoker-iam-disabled``), or the v2 API (``invokerIamDisabled``).
            policy: The policy that decides if the check is on.

        Returns:
            `check_disabled` if the check is off, else the policy.

        Raises:
            PolicyError: If the check is on and no policy was passed, or the description is not understood.
        """
        if check_is_disabled(service):
            return cls.check_disabled(permission=INVOKE if policy is None else policy.permission)
        if policy is None:
            raise PolicyError("the invoker check of the service is on: pass the policy that decides")
        return policy

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **settings: Unpack[PolicySettings]) -> InvokerPolicy:
        """Return the policy that ``gcloud run services get-iam-policy SERVICE`` prints, in JSON or in YAML.

        What ``gcloud projects get-ancestors-iam-policy PROJECT`` prints is read too: the policies that all
        services of a project inherit, joined. `join` adds that of the service.

        Args:
            path: The file, in UTF-8, or in UTF-16 with a byte order mark, as PowerShell writes it. ``.json``
                means JSON, ``.yaml`` and ``.yml`` mean YAML; with another suffix an opening brace or bracket
                means JSON, anything else YAML. YAML needs the extra ``yaml``.
            **settings: See `PolicySettings`.

        Raises:
            PolicyError: If the file is not such a policy, or holds a binding that is not understood.
            ConfigurationError: If it cannot be read.
        """
        try:
            source = f"{shortened(os.path.basename(os.fspath(path)))} "  # noqa: PTH119 - of any path
            return cls._of(read_policy(read_file(path), settings, source))
        except PolicyError as error:
            raise PolicyError(f"{os.fspath(path)}: {error}") from error

    @classmethod
    def from_json(cls, text: str | bytes, **settings: Unpack[PolicySettings]) -> InvokerPolicy:
        """Return the policy that a text in JSON holds.

        Args:
            text: One policy object (https://cloud.google.com/iam/docs/reference/rest/v1/Policy), or the list
                that `from_file` describes.
            **settings: See `PolicySettings`.

        Raises:
            PolicyError: If the text is not such a policy, or holds a binding that is not understood.
        """
        return cls._of(read_policy(read_json(text), settings))

    @classmethod
    def from_yaml(cls, text: str | bytes, **settings: Unpack[PolicySettings]) -> InvokerPolicy:
        """Return the policy that a text in YAML holds. This needs the extra ``yaml``.

        Args:
            text: One policy object, or the list that `from_file` describes.
            **settings: See `PolicySettings`.

        Raises:
            PolicyError: If the text is not such a policy, or holds a binding that is not understood.
        """
        return cls._of(read_policy(read_yaml(text), settings))

    @classmethod
    def from_dict(
        cls, document: Mapping[str, object] | Sequence[object], **settings: Unpack[PolicySettings]
    ) -> InvokerPolicy:
        """Return the policy that a parsed document holds.

        Args:
            document: One policy object, or the list that `from_file` describes. The policy keeps a copy.
            **settings: See `PolicySettings`.

        Raises:
            PolicyError: If it is not such a policy, or holds a binding that is not understood.
        """
        return cls._of(read_policy(document, settings))

    @classmethod
    def join(cls, *policies: InvokerPolicy) -> InvokerPolicy:
        """Join the policies that a service inherits: its own, its project's, folders' and organisation's.

        Args:
            policies: At least one; all of them read for the same permission.

        Returns:
            The policy that grants what any of them grants, and denies what any of them denies. Written back,
            it has the bindings of all, and no etag: it belongs to none of the resources.

        Raises:
            PolicyError: If there is none, if they were read for different permissions, or if their
                ``unique_ids``, ``project_numbers`` or ``resource_tags`` contradict each other.
        """
        joined = [policy._loaded for policy in policies]  # noqa: SLF001 - its own class
        return cls._of(join_policies(joined))

    def with_deny(self, *policies: DenyPolicy) -> InvokerPolicy:
        """Put deny policies before the bindings.

        Args:
            policies: The deny policies of the project, folders and organisation. Their groups are resolved as
                those of this policy.

        Returns:
            The policy with them. `to_dict` does not write them: they are documents of their own.

        Raises:
            PolicyError: If one of their rules covers the permission and cannot be decided for every
                principal.
        """
        return self._of(with_denials(self._loaded, policies))

    def decide(self, principal: Principal, request: RequestFacts = ANYWHERE, now: float = 0.0) -> Decision:
        """Decide whether a principal may invoke; does not block, unless a function passed as ``groups`` does.

        Args:
            principal: The verified caller, or the anonymous one.
            request: The request to decide on.
            now: Seconds since the epoch.

        Returns:
            The decision, with the member and the role that grant it.
        """
        if self._disabled:
            return _CHECK_DISABLED
        return decide(self._index, principal, request, now)

    def explain(
        self, principal: Principal, request: RequestFacts = ANYWHERE, now: float = 0.0
    ) -> PolicyExplanation:
        """Explain why a principal may invoke, or may not.

        Args:
            principal: The verified caller, or the anonymous one.
            request: The request to decide on.
            now: Seconds since the epoch.

        Returns:
            The decision, as `decide` makes it, and every deny rule and binding that was evaluated.
        """
        from doorward.policy import explainer  # noqa: PLC0415 - most processes explain no decision

        if self._disabled:
            return explainer.explain_disabled(self.permission, principal, _CHECK_DISABLED)
        evaluation = Evaluation(self._index, principal, request, now)
        return explainer.explain(evaluation, self.permission, self._loaded.remarks)

    def to_dict(self) -> dict[str, Any]:
        """Write the policy back.

        Returns:
            A copy of the document that it was read from, with everything in it: etag, version, audit
            configuration.
        """
        return {name: plain_copy(value) for name, value in self._loaded.document.items()}

    def to_json(self, *, indent: int | None = 2) -> str:
        """Write the policy back as JSON, its members sorted as gcloud prints them.

        Args:
            indent: Spaces for each level; None for one line.

        Returns:
            The text.
        """
        return json.dumps(self.to_dict(), indent=indent, sort_keys=True)

    def __repr__(self) -> str:
        """Show its size, not its members, which are personal data."""
        if self._disabled:
            return "InvokerPolicy(check disabled)"
        denials = f", {len(self._index.denials)} deny rules" if self._index.denials else ""
        return f"InvokerPolicy({self._index.size} members{denials})"
