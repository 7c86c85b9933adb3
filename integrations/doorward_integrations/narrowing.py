"""Which of the callers that the door admits one route lets in: what ``only(...)`` is in every framework.

It decides nothing itself: it asks the predicate, and has the door refuse.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from doorward import (
    ConfigurationError,
    PermissionDeniedError,
    Principal,
    PrincipalKind,
    Reason,
    Refusal,
)
from doorward.door.base import BaseDoor
from doorward.policy.named import NamedCallers
from doorward.policy.request import RequestFacts
from doorward_integrations.admission import DOOR, principal_of

__all__ = ["Narrowing", "Predicate", "service_accounts"]

Predicate = Callable[[Principal], bool]
"""Returns whether a caller, who may be the anonymous one of a public policy, may use a route."""

_SERVICES: Final = (PrincipalKind.SERVICE_ACCOUNT, PrincipalKind.SERVICE_AGENT)


def service_accounts(principal: Principal) -> bool:
    """Return whether a caller is a service account, Google's own service agents included.

    Args:
        principal: The caller.
    """
    return principal.kind in _SERVICES


class Narrowing:
    """The callers that one route lets in."""

    __slots__ = ("_predicate",)

    def __init__(self, predicate: Predicate | None, members: Iterable[str] | None) -> None:
        """Read what ``only(...)`` was called with.

        Args:
            predicate: Returns True for a caller that may use the route.
            members: The members of IAM that may, in place of a predicate.

        Raises:
            ConfigurationError: If it is neither or both, or a predicate that cannot decide.
        """
        if (predicate is None) == (members is None):
            raise ConfigurationError(
                "only(...) needs either a predicate, as in only(service_accounts), or only(members=[...])"
            )
        if members is not None:
            self._predicate: Predicate = NamedCallers(members, "only(members=...)")
            return
        assert predicate is not None  # noqa: S101 - one of both is given
        _check_predicate(predicate)
        self._predicate = predicate

    def refusal_of(self, carrier: Mapping[str, Any], request: RequestFacts) -> Refusal | None:
        """Ask whether the caller of a request may use the route.

        Args:
            carrier: The scope or environ of the request, which the door has admitted.
            request: What is known of it.

        Returns:
            The answer of the door if the caller may not; else None.

        Raises:
            ConfigurationError: If no door has decided on the request, or the predicate returned no boolean.
        """
        principal = principal_of(carrier)
        allowed: object = self._predicate(principal)
        if allowed is True:
            return None
        if allowed:  # a coroutine would be true for every caller
            if inspect.iscoroutine(allowed):
                allowed.close()
            raise ConfigurationError(
                f"the predicate of only({self}) returned {type(allowed).__name__}, and not True or False"
            )
        door = carrier.get(DOOR)
        if not isinstance(door, BaseDoor):
            raise ConfigurationError("the request carries no door that could refuse it")
        why = f"{principal} may invoke, and is none of those that the route lets in: {self}"
        return door.refuse(PermissionDeniedError(why, Reason.ROUTE_NARROWED), request)

    def __str__(self) -> str:
        """Name the callers."""
        return getattr(self._predicate, "__qualname__", None) or repr(self._predicate)


def _check_predicate(predicate: object) -> None:
    if not callable(predicate) or isinstance(predicate, type):
        raise ConfigurationError(
            f"only(...) needs a function of the principal, not {predicate!r}; members are given by name: "
            "only(members=[...])"
        )
    if inspect.iscoroutinefunction(predicate) or inspect.iscoroutinefunction(type(predicate).__call__):
        raise ConfigurationError(f"the predicate of only({predicate!r}) must not be async: it may not wait")
    try:
        inspect.signature(predicate).bind(None)
    except TypeError:
        raise ConfigurationError(
            f"the predicate of only({predicate!r}) must take one argument, the principal; as a decorator "
            "only is called first: @only(service_accounts)"
        ) from None
    except ValueError:
        pass  # of what is built in, the signature is not known
