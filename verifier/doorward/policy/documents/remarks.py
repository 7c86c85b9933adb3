"""What a policy holds that grants nothing and was perhaps meant to: said once, when the policy is read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from doorward.errors import PolicyError
from doorward.policy.index import PolicyIndex
from doorward.policy.roles import intended_role
from doorward.shown import quoted

__all__ = ["Remarks", "log_remarks"]

_log: Final = logging.getLogger("doorward.policy")
_MOST: Final = 100
"""The most names that one remark lists."""

_MOST_COMPARED: Final = 1_000


class Remarks:
    """Collects what a policy holds that grants nothing; in strict mode, refuses it.

    Attributes:
        strict: Whether it is refused.
    """

    def __init__(self, permission: str, *, strict: bool) -> None:
        """Begin without any.

        Args:
            permission: The permission that the policy is asked for.
            strict: Whether to refuse what grants nothing because it is not understood.
        """
        self.strict: Final[bool] = strict
        self._permission = permission
        self._seen: set[str] = set()
        # Dictionaries keep the order of the policy, and each name once.
        self._undescribed: dict[str, None] = {}
        self._misspelt: dict[str, str] = {}
        self._conditions: list[str] = []

    def role_without_permission(self, role: str, *, described: bool) -> None:
        """Take down a role that does not hold the permission, if that may be a mistake.

        Args:
            role: The name of the role.
            described: Whether its permissions are known.

        Raises:
            PolicyError: In strict mode, if its permissions are not known, or if another role may be meant.
        """
        if role in self._seen:
            return
        self._seen.add(role)
        # To compare names is the most work that a binding may cause: no real policy has so many roles.
        meant = intended_role(role, self._permission) if len(self._seen) <= _MOST_COMPARED else None
        if meant is not None:
            if self.strict:
                raise PolicyError(f"{quoted(role)} does not hold {self._permission}: did you mean {meant!r}?")
            self._misspelt[role] = meant
        elif not described:
            if self.strict:
                raise PolicyError(
                    f"{quoted(role)} is no predefined role, and the permissions of a custom role are not in "
                    f"the policy: pass custom_roles={{{quoted(role)}: [...]}} with what "
                    "'gcloud iam roles describe' lists under includedPermissions"
                )
            self._undescribed[role] = None

    def unreadable_condition(self, binding: str, why: str) -> None:
        """Take down a condition that is not understood.

        Args:
            binding: The position and the role of its binding.
            why: What is not understood.
        """
        self._conditions.append(
            f"{binding}: the condition is not understood, so that it grants nothing: {why}"
        )

    def sentences(self, index: PolicyIndex, *, roles: int, source: str) -> tuple[str, ...]:
        """Return what to say of the policy.

        Args:
            index: The policy, read.
            roles: The number of its bindings, whatever their roles.
            source: The name of the file, with a blank behind it; empty if there is none. The name of a
                binding begins with it already.

        Returns:
            One sentence for all roles whose permissions are not known, one for each other remark, and one if
            the policy grants the permission to no principal at all.
        """
        begin = f"{source.strip()}: " if source else ""
        rest = len(self._conditions) - _MOST
        more = (f"{begin}{rest} more conditions are not understood",) if rest > 0 else ()
        sentences = (begin + sentence for sentence in self._sentences(index, roles))
        return (*sentences, *self._conditions[:_MOST], *more)

    def _sentences(self, index: PolicyIndex, roles: int) -> Iterator[str]:
        if self._undescribed:
            yield (
                f"the permissions of these roles are not known, so that they grant nothing: "
                f"{_listed(map(quoted, self._undescribed))}; pass custom_roles={{ROLE: [PERMISSION, ...]}} "
                "with what 'gcloud iam roles describe' lists under includedPermissions"
            )
        for role, meant in list(self._misspelt.items())[:_MOST]:
            yield (
                f"{quoted(role)} does not hold {self._permission}, so that it grants nothing: did you mean "
                f"{meant!r}?"
            )
        if (rest := len(self._misspelt) - _MOST) > 0:
            yield f"{rest} more roles look misspelt and grant nothing"
        if not index.size:
            if not roles:
                why = "it has no bindings"
            elif not index.bindings:
                why = "none of its roles holds the permission"
            else:
                why = "its bindings name no principal that can present an ID token and meet their conditions"
            yield f"no principal is granted {self._permission}: {why}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    rest = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + rest


def log_remarks(sentences: Iterable[str]) -> None:
    """Log remarks, each as a warning.

    Args:
        sentences: What to say.
    """
    for sentence in sentences:
        _log.warning("policy: %s", sentence)
