"""`as_principal`: be a caller for one block of a test, in front of the real door.

Nothing is bypassed. A request of the block carries a real token of an issuer in memory, which the verifiers
of the door believe for as long: signature, issuer, audience, times and policy decide as in production. A
caller whom the policy does not admit gets its 403, and the log says so.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Final, Self, TypeVar

from doorward import ConfigurationError, Door, Principal, Reason
from doorward.door.base import BaseDoor
from doorward.door.credentials import AUTHORIZATION, CredentialHeaders
from doorward.tokens.verifier import engine_of
from doorward_integrations.testing import clients, decisions
from doorward_integrations.testing.doors import asked_of, doors_of
from doorward_integrations.testing.issuer import MemoryIssuer
from doorward_integrations.testing.running import require
from doorward_integrations.testing.seam import CALLERS, Caller, watch

__all__ = ["as_principal", "carrier_of"]

_log: Final = logging.getLogger("doorward.testing")
_Target = TypeVar("_Target")
_RENEWED: Final = 60  # seconds: a token is made anew once it is older, by the clock of its verifier


@contextlib.contextmanager
def as_principal(
    target: _Target,
    who: str | Principal,
    *,
    door: BaseDoor | None = None,
    audience: str | None = None,
    end_user: str | Principal | None = None,
) -> Iterator[_Target]:
    """Be a caller for one block of a test.

    With a client, its requests of the block carry the caller's token, in whatever thread or task they are
    answered. With an application or a door, those that the block itself makes in this process do, and those
    of other threads, tasks and tests do not. In ``async`` tests it is used with ``with``, too.

    The token is in the header that decides first, for most doors ``X-Serverless-Authorization``, so that
    ``Authorization`` stays the application's own. A request that brings that header keeps it.

    Args:
        target: An application that is called in this process, its client, a gRPC channel, or the `Door`.
        who: The caller: what `principal` returned, or an address.
        door: The door, where it cannot be found, or which one of several is meant.
        audience: The audience of the token, where the verifier does not list one.
        end_user: The user on whose behalf the caller calls, for doors that look for one.

    Yields:
        What to call with: the target, or for gRPC a channel over it.

    Raises:
        ConfigurationError: If no test is running here, no door is found, or none accepts such a caller.
    """
    require("as_principal(...)")
    kind = clients.kind_of(target)
    doors = _accepting(doors_of(target if door is None else door), who, target)
    _check_called_here(target, kind)
    before = len(decisions.made())
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _explain(decisions.made()[before:], doors, by_client=bool(kind)))
        for one in asked_of(target) + asked_of(door):
            stack.callback(watch(one))
        badges = {one: stack.enter_context(_Badge(one, who, audience, end_user)) for one in doors}
        if kind:
            yield stack.enter_context(clients.sending(target, _one_of(list(badges.values()), target)))
        else:
            stack.enter_context(_calling(badges))
            yield target


def _check_called_here(target: object, kind: str) -> None:
    if not kind and type(target).__module__.startswith(("aiohttp.", "grpc.")):
        raise ConfigurationError(
            f"{type(target).__name__} is called over a socket: give as_principal its test client, or "
            "a channel"
        )


def carrier_of(door: Door) -> tuple[str, str]:
    """Return how a request carries its token to a door.

    Args:
        door: The door.

    Returns:
        The name of the header in lower case, and what stands before the token.

    Raises:
        ConfigurationError: If the door finds its credential in a way of its own.
    """
    find = door.credential
    if not isinstance(find, CredentialHeaders):
        raise ConfigurationError(
            "this door finds its credential by a function of your own: send issuer.token_for(...) as your "
            "callers do"
        )
    return find.names[0].decode(), "Bearer " if find.scheme else ""


class _Badge:
    """What a caller shows at one door: tokens, renewed by the clock of their verifier as clients do it."""

    def __init__(
        self, door: Door, who: str | Principal, audience: str | None, end_user: str | Principal | None
    ) -> None:
        self._tokens: Final = [(carrier_of(door), door.verifier, who, audience)]
        if end_user is not None:
            if door.end_user_verifier is None:
                raise ConfigurationError("end_user=...: this door looks for no end user")
            into = (AUTHORIZATION.decode(), "Bearer ")
            self._tokens.append((into, door.end_user_verifier, end_user, None))
        self._issuers: Final[list[MemoryIssuer]] = []
        self._made: tuple[float, dict[str, str]] | None = None
        self._ends: Final = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for _, verifier, _, _ in self._tokens:
            self._issuers.append(
                self._ends.enter_context(MemoryIssuer(keys="as_principal")).stand_in_for(verifier)
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def headers(self) -> dict[str, str]:
        """Return the headers of a request, with a token that is young by the clock of the verifier."""
        now = self._issuers[0].now()
        if self._made is None or not 0 <= now - self._made[0] < _RENEWED:
            made = {
                header: scheme + issuer.make(who, audience)
                for issuer, ((header, scheme), _, who, audience) in zip(
                    self._issuers, self._tokens, strict=True
                )
            }
            self._made = now, made
        return self._made[1]

    def aims(self) -> list[tuple[str, object]]:
        """Return which header is for which audience."""
        pairs = zip(self._issuers, self._tokens, strict=True)
        return [
            (header, issuer.payload_for(who, audience)[1]["aud"])
            for issuer, ((header, _), _, who, audience) in pairs
        ]


def _accepting(doors: list[Door], who: str | Principal, target: object) -> list[Door]:
    """Return those doors whose verifier accepts tokens of the issuer that vouches for a caller."""
    if not doors:
        raise ConfigurationError(
            f"no door is found in {type(target).__name__}: name it, as_principal(..., door=door), or give "
            "the application that it stands in front of"
        )
    accepted = {door: [one.issuer for one in engine_of(door.verifier).issuers] for door in doors}
    found = [
        door
        for door, issuers in accepted.items()
        if isinstance(who, str) or any(who.issuer in one.iss_values for one in issuers)
    ]
    if not found:
        names = ", ".join(dict.fromkeys(one.name for issuers in accepted.values() for one in issuers))
        given = "anonymous" if isinstance(who, str) else who.issuer or "anonymous"
        raise ConfigurationError(
            f"the door accepts tokens of {names}, and the caller is one of {given}: "
            "principal(..., issuer=...) takes the issuer of the service. For an anonymous caller no block is "
            "needed"
        )
    return found


def _one_of(badges: list[_Badge], target: object) -> dict[str, str]:
    """Return the headers of a client, which sends the same to every door of its application."""
    aims = [aim for badge in badges for aim in badge.aims()]
    if len({header for header, _ in aims}) < len(set(aims)):
        raise ConfigurationError(
            f"the application behind {type(target).__name__} has doors for several audiences, and a client "
            "sends one token: say which one is meant, as_principal(..., door=door)"
        )
    return {name: value for badge in badges for name, value in badge.headers().items()}


@contextlib.contextmanager
def _calling(badges: dict[Door, _Badge]) -> Iterator[None]:
    """Have the requests that this context makes in this process be those of the caller."""

    def pairs(door: BaseDoor) -> tuple[tuple[bytes, bytes], ...]:
        badge = badges.get(door) if isinstance(door, Door) else None
        made = {} if badge is None else badge.headers()
        return tuple((name.encode(), value.encode()) for name, value in made.items())

    for badge in badges.values():
        badge.headers()  # what cannot be made is said at the beginning of the block
    caller = Caller(pairs)
    CALLERS.set((*CALLERS.get(), caller))
    try:
        yield
    finally:
        caller.open = False
        CALLERS.set(tuple(one for one in CALLERS.get() if one is not caller))


def _explain(made: list[decisions.Decision], doors: list[Door], *, by_client: bool) -> None:
    """Log what a test may not expect: pytest shows it when the test fails."""
    for one in made:
        if one.door not in doors:
            continue
        if one.reason is Reason.PERMISSION_DENIED:
            _log.warning("as in production, the policy does not admit this caller: %s", one)
        elif one.reason is Reason.NO_CREDENTIAL and not by_client:
            _log.warning(
                "a request came from another thread or task than the block, and was not the caller's: %s "
                "as_principal(client, ...) works for all requests of a client",
                one,
            )
