"""Which of the callers that the door admits one route lets in: what ``only(...)`` is in every framework.

It decides nothing itself: it asks the predicate, and has the door refuse.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar

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
from doorward_integrations.admission import DOOR, admission_of

__all__ = ["Answer", "Find", "Narrowing", "Predicate", "narrowed", "service_accounts"]

Predicate = Callable[[Principal], bool]
"""Returns whether a caller, who may be the anonymous one of a public policy, may use a route."""

Find = Callable[..., tuple[Any, Mapping[str, Any], RequestFacts]]
"""Is called as a view is, and returns the request, what carries its admission, and its facts."""

Answer = Callable[[Refusal, Any], Any]
"""Makes a refusal the response to that request, or what an asynchronous view awaits for it."""

_View = TypeVar("_View", bound=Callable[..., Any])
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
        admission = admission_of(carrier)
        principal = admission.principal
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
        return door.refuse(PermissionDeniedError(why, Reason.ROUTE_NARROWED), request, admission.headers)

    def __str__(self) -> str:
        """Name the callers."""
        return getattr(self._predicate, "__qualname__", None) or repr(self._predicate)


def narrowed(
    view: _View,
    callers: Narrowing,
    find: Find,
    answer: Answer,
    *,
    asynchronous: bool | None = None,
    needs: str = "a function",
) -> _View:
    """Return a view that asks first whether its caller may use it, and is else of the same kind.

    Args:
        view: A function, a coroutine function, or a generator of either kind.
        callers: Who may use it.
        find: Finds the request among the arguments of the view.
        answer: Makes the response of a refusal.
        asynchronous: Whether the view is awaited; None to see it from the function.
        needs: What it has to be, for the error, and what to do where it is not.

    Returns:
        The view. It has name and signature of the one that was given.

    Raises:
        ConfigurationError: If it is no function.
    """
    if isinstance(view, type) or not callable(view):
        what, _, instead = needs.partition(": ")
        raise ConfigurationError(f"only(...) decorates {what}, not {view!r}{instead and ': '}{instead}")

    def refused(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Refusal, Any] | None:
        request, carrier, facts = find(*args, **kwargs)
        refusal = callers.refusal_of(carrier, facts)
        return None if refusal is None else (refusal, request)

    if inspect.isasyncgenfunction(view):
        return _generating(view, refused, answer)
    if asynchronous is None:
        asynchronous = inspect.iscoroutinefunction(view)
    return _awaited(view, refused, answer) if asynchronous else _called(view, refused, answer)


_Refused = Callable[[tuple[Any, ...], dict[str, Any]], "tuple[Refusal, Any] | None"]


def _called(view: _View, refused: _Refused, answer: Answer) -> _View:
    @functools.wraps(view)
    def narrow(*args: object, **kwargs: object) -> object:
        found = refused(args, kwargs)
        return view(*args, **kwargs) if found is None else answer(*found)

    same: Any = narrow
    return same  # type: ignore[no-any-return]  # it takes what the view takes


def _awaited(view: _View, refused: _Refused, answer: Answer) -> _View:
    @functools.wraps(view)
    async def narrow(*args: object, **kwargs: object) -> object:
        found = refused(args, kwargs)
        if found is None:
            return await view(*args, **kwargs)
        answered = answer(*found)
        return await answered if inspect.isawaitable(answered) else answered

    same: Any = narrow
    return same  # type: ignore[no-any-return]  # as above


def _generating(view: _View, refused: _Refused, answer: Answer) -> _View:
    @functools.wraps(view)
    async def narrow(*args: object, **kwargs: object) -> AsyncIterator[object]:
        found = refused(args, kwargs)
        if found is not None:
            await answer(*found)
            return
        async with aclosing(view(*args, **kwargs)) as responses:
            async for response in responses:
                yield response

    same: Any = narrow
    return same  # type: ignore[no-any-return]  # as above


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
