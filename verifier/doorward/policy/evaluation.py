"""One decision of a policy: who the caller is to it, what denies it, what grants it, and why.

`PolicyIndex` is a policy made ready for decisions: bindings that grant whoever they name are found by one look in a
dictionary, however many members there are. `Evaluation` is one decision. Decisions and accounts of them are
made by the same steps of the same object, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from doorward.policy.decision import BindingCondition, Decision
from doorward.policy.deny.matching import Denial, DenyMatcher
from doorward.policy.groups import Resolver, Unresolved
from doorward.policy.matching import PrincipalMatcher
from doorward.policy.members import ALL_USERS, KnownAccounts, Member, identities
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.tokens.principal import Principal

if TYPE_CHECKING:
    from doorward.policy.explanation import BindingExplanation, DenyExplanation

__all__ = ["Evaluation", "PermissionBinding", "PolicyIndex"]

_NOT_GRANTED: Final = Decision(granted=False)


@dataclass(frozen=True, slots=True, eq=False)
class PermissionBinding:
    """A binding whose role holds the permission, understood.

    Attributes:
        name: Where it stands.
        role: Its role.
        members: Its members.
        condition: Its condition, if it has one.
        groups: Tells who is in its groups.
    """

    name: str
    role: str
    members: tuple[Member, ...]
    condition: BindingCondition | None
    groups: Resolver

    @property
    def always(self) -> bool | None:
        """Whether it grants its members for all requests at any time, or for none; None if that depends."""
        if self.condition is None:
            return True
        if self.condition.depends_on_request or self.condition.depends_on_time:
            return None
        return self.condition.holds(ANYWHERE, 0.0)


class PolicyIndex:
    """The bindings and deny rules of a policy, indexed; immutable."""

    __slots__ = ("conditional", "denials", "groups", "known", "plain", "public", "rules", "size")

    def __init__(
        self, rules: Iterable[PermissionBinding], denials: Iterable[Denial], known: KnownAccounts
    ) -> None:
        """Index bindings.

        Args:
            rules: The bindings, in order.
            denials: The deny rules about the permission, in order.
            known: What the user knows of accounts.
        """
        self.rules: Final = tuple(rules)
        self.denials: Final = tuple(denials)
        self.known: Final = known
        plain: dict[str, PermissionBinding] = {}
        conditional: dict[str, list[PermissionBinding]] = {}
        groups: list[tuple[str, PermissionBinding, bool]] = []
        for rule in self.rules:
            always = rule.always
            if always is False:
                continue
            for member in rule.members:
                if member.group is not None:
                    groups.append((member.group, rule, always is True))
                elif member.key is not None and always:
                    plain.setdefault(member.key, rule)
                elif member.key is not None:
                    conditional.setdefault(member.key, []).append(rule)
        self.plain: Final = plain
        self.conditional: Final = {key: tuple(found) for key, found in conditional.items()}
        self.groups: Final = tuple(groups)
        self.public: Final = ALL_USERS in plain or ALL_USERS in conditional
        self.size: Final = len(
            plain.keys() | conditional.keys() | {f"group:{group}" for group, _, _ in groups}
        )

    def decide(self, principal: Principal, request: RequestFacts, now: float) -> Decision:
        """Decide, by the shortest way that there is.

        Args:
            principal: The caller.
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            The decision.
        """
        if not self.denials:
            plain = self.plainly(identities(principal, self.known))
            if plain is not None or not (self.groups or self.conditional):
                return plain or _NOT_GRANTED
        return Evaluation(self, principal, request, now).decision()

    def plainly(self, names: tuple[str, ...]) -> Decision | None:
        """Find what grants without any condition.

        Args:
            names: Every member that the caller is, the narrowest first.

        Returns:
            The lasting grant; None if there is none.
        """
        plain = self.plain
        for name in names:
            if name in plain:
                return Decision(True, name, plain[name].role)  # noqa: FBT003 - the field has a name
        return None


class Evaluation:
    """One decision. What was found out once in it is not asked for again."""

    def __init__(self, table: PolicyIndex, principal: Principal, request: RequestFacts, now: float) -> None:
        """Begin.

        Args:
            table: The policy.
            principal: The caller.
            request: What is asked for.
            now: Seconds since the epoch.
        """
        self._table = table
        self._caller = PrincipalMatcher(principal, table.known)
        self._denied = DenyMatcher(self._caller)
        self._request = request
        self._now = now
        self._conditions: dict[PermissionBinding, bool] = {}
        self._lasting = True

    # What both the decision and its account are made of.

    def _holds(self, rule: PermissionBinding) -> bool:
        """Tell whether the condition of a binding holds, if it has one."""
        if rule not in self._conditions:
            condition = rule.condition
            self._conditions[rule] = condition is None or condition.holds(self._request, self._now)
        return self._conditions[rule]

    # Deny rules.

    def _denies(self, denial: Denial) -> tuple[bool | Unresolved, str]:
        """Tell whether a rule applies to the caller, and why."""
        denied, why = self._denied.any_of(denial.rule.denied, denial, cautious=True)
        if denied is False:
            return False, why
        excepted, but = self._denied.any_of(denial.rule.excepted, denial, cautious=False)
        if excepted is True:
            return False, f"excepts {but}"
        if isinstance(denied, Unresolved):
            return denied, why
        if isinstance(excepted, Unresolved):
            return excepted, but
        if denial.rule.condition is not None:
            why += (
                "; its condition asks for resource tags, which a request does not carry, and is taken to hold"
            )
        return True, f"denies {why}"

    def _denial(self) -> Decision | None:
        unknown: Unresolved | None = None
        for denial in self._table.denials:
            found, _ = self._denies(denial)
            if found is True:
                return Decision(granted=False, lasting=self._fixed, denied_by=denial.rule.name)
            if isinstance(found, Unresolved):
                unknown = unknown or found
        if unknown is not None:
            return Decision(granted=False, lasting=False, unknown=unknown.reason, pending=unknown.pending)
        return None

    @property
    def _fixed(self) -> bool:
        """Whether nothing that was asked so far can change: groups do."""
        return self._lasting and not self._caller.asked_groups

    # The decision.

    def decision(self) -> Decision:
        """Decide.

        Returns:
            The decision.
        """
        table = self._table
        if (denied := self._denial()) is not None:
            return denied
        if (plain := table.plainly(self._caller.names)) is not None:
            return plain if self._fixed else plain._replace(lasting=False)
        for name in self._caller.names:
            for rule in table.conditional.get(name, ()):
                self._lasting = False
                if self._holds(rule):
                    return Decision(granted=True, member=name, role=rule.role, lasting=False)
        return self._by_group()

    def _by_group(self) -> Decision:
        """Decide by groups, all of which are asked for at once where none of them grants."""
        unknown: list[Unresolved] = []
        for group, rule, always in self._table.groups:
            if not self._caller.google_account:
                break
            if not always:
                self._lasting = False
                if not self._holds(rule):
                    continue
            match self._caller.in_group(group, rule.groups):
                case True:
                    return Decision(granted=True, member=f"group:{group}", role=rule.role, lasting=False)
                case Unresolved() as unresolved:
                    unknown.append(unresolved)
                case _:
                    pass
        if unknown:
            pending = next((one.pending for one in unknown if one.pending is not None), None)
            return Decision(granted=False, lasting=False, unknown=unknown[0].reason, pending=pending)
        return _NOT_GRANTED if self._fixed else Decision(granted=False, lasting=False)

    # The account.

    def denials(self) -> Iterator[DenyExplanation]:
        """Account for every deny rule."""
        from doorward.policy.explanation import DenyExplanation  # noqa: PLC0415 - nothing is accounted for at a start

        for denial in self._table.denials:
            found, reason = self._denies(denial)
            applies = None if isinstance(found, Unresolved) else found
            yield DenyExplanation(denial.rule.name, applies, reason)

    def bindings(self) -> Iterator[BindingExplanation]:
        """Account for every binding."""
        from doorward.policy.explanation import BindingExplanation, MemberExplanation  # noqa: PLC0415 - as above

        for rule in self._table.rules:
            members = [(member, *self._caller.member(member, rule.groups)) for member in rule.members]
            holds, condition = self._holds(rule), rule.condition
            matched = next((member.text for member, found, _ in members if found is True), None)
            unknown = any(isinstance(found, Unresolved) for _, found, _ in members)
            yield BindingExplanation(
                binding=rule.name,
                role=rule.role,
                members=tuple(
                    MemberExplanation(member.text, None if isinstance(found, Unresolved) else found, reason)
                    for member, found, reason in members
                ),
                matched=matched,
                condition=None if condition is None else condition.title or condition.expression,
                condition_holds=holds,
                condition_reason="" if condition is None else condition.account(self._request, self._now)[1],
                grants=holds and (matched is not None or (None if unknown else False)),
            )
