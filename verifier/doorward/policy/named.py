"""Callers that a setting names as members of IAM: who may use a route, or may pass on an end user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from doorward.errors import ConfigurationError
from doorward.policy.iam import InvokerPolicy
from doorward.policy.request import ANYWHERE
from doorward.shown import quoted, shortened
from doorward.tokens.principal import Principal

__all__ = ["NamedCallers"]


class NamedCallers:
    """Returns whether a principal is one of those that some members name.

    The members are matched as in a policy (`InvokerPolicy.from_members`).
    """

    __slots__ = ("_members", "_policy")

    def __init__(self, members: Iterable[str], setting: str) -> None:
        """Read the members.

        Args:
            members: As IAM writes them, such as ``serviceAccount:a@p.iam.gserviceaccount.com``.
            setting: The name of the setting, for the error.

        Raises:
            ConfigurationError: If there is no member, or ``allUsers`` is one: that names no caller.
            PolicyError: If a member is not understood, or is a group, whose members no token names.
        """
        if not isinstance(members, Iterable) or isinstance(members, str | bytes):
            raise ConfigurationError(f"{setting} must be a list of members of IAM, not {quoted(members)}")
        given = tuple(members)
        self._policy: Final = InvokerPolicy.from_members(given)
        if not given or self._policy.public:
            raise ConfigurationError(f"{setting} must name callers: it is empty, or holds 'allUsers'")
        self._members: Final = given

    def __call__(self, principal: Principal) -> bool:
        """Return whether a principal is one of them.

        Args:
            principal: The verified caller, or the anonymous one.
        """
        # No condition and no group is in this policy: neither the time nor the request matters.
        return self._policy.decide(principal, ANYWHERE).granted

    def __repr__(self) -> str:
        """Show the members."""
        return shortened(f"members {', '.join(self._members)}")
