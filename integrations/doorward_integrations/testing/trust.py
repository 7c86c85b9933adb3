"""What makes a verifier believe the issuer in memory for a while: a key source that stands in for its own.

Everything else of the verifier stays: signature, issuer, audience, times, its clock and its token cache. What
it verified by the keys of the issuer in memory is forgotten when those are withdrawn, since a cached token
dies with its key. While an issuer in memory is trusted, the verifier's own keys are not asked for, so that no
request leaves the machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from doorward import KeysUnavailableError, Verifier
from doorward.errors import Reason, SignatureError
from doorward.forks import renew_in_children
from doorward.issuers.issuer import Issuer
from doorward.keys.key import VerificationKey
from doorward.keys.source import KeySource
from doorward.shown import token_safe
from doorward.tokens.accepted_issuer import AcceptedIssuer
from doorward.tokens.verifier import engine_of

__all__ = ["PublishesKeys", "Trusted", "trust"]


class PublishesKeys(Protocol):
    """An issuer in memory, as a key source asks it."""

    def published(self, issuer: Issuer, /) -> Mapping[str, VerificationKey] | None:
        """Return the public keys that it publishes as an issuer; None if its endpoint is broken."""
        ...


class _StandIn:
    """A `KeySource` that holds the keys of issuers in memory."""

    def __init__(self, issuer: Issuer, replaced: KeySource) -> None:
        self.issuer: Final = issuer
        self.replaced: Final = replaced
        self.trusted: tuple[PublishesKeys, ...] = ()

    def keys(self, wall: float, /) -> Mapping[str, VerificationKey] | None:
        del wall
        trusted = self.trusted
        if len(trusted) == 1:
            return trusted[0].published(self.issuer)
        found: dict[str, VerificationKey] = {}
        for one in trusted:
            published = one.published(self.issuer)
            if published is None:
                return None
            found |= published
        return found

    def get(self, kid: str, /) -> VerificationKey:
        keys = self.keys(0)
        if keys is None:
            raise KeysUnavailableError("the key endpoint of the issuer in memory is broken: break_endpoint()")
        if kid not in keys:
            raise SignatureError(
                Reason.UNKNOWN_KEY, f"the issuer in memory publishes no key with the id {token_safe(kid)}"
            )
        return keys[kid]

    async def aget(self, kid: str, /) -> VerificationKey:
        return self.get(kid)

    def warm(self) -> None:
        if self.keys(0) is None:
            self.get("")

    async def awarm(self) -> None:
        self.warm()


class _StandIns:
    """All that stand in now; a forked child begins with none, so that what it serves trusts none of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_place: dict[int, tuple[AcceptedIssuer, _StandIn]] = {}
        renew_in_children(self, _StandIns.withdraw_all)

    def withdraw_all(self) -> None:
        self.lock = threading.Lock()
        for accepted, stand_in in self.by_place.values():
            stand_in.trusted = ()
            accepted.key_source = stand_in.replaced
        self.by_place.clear()

    def add(self, accepted: AcceptedIssuer, one: PublishesKeys) -> None:
        with self.lock:
            if id(accepted) not in self.by_place:
                stand_in = _StandIn(accepted.issuer, accepted.key_source)
                self.by_place[id(accepted)] = accepted, stand_in
                accepted.key_source = stand_in
            stand_in = self.by_place[id(accepted)][1]
            stand_in.trusted = (*stand_in.trusted, one)

    def remove(self, accepted: AcceptedIssuer, one: PublishesKeys) -> None:
        with self.lock:
            if id(accepted) not in self.by_place:
                return
            stand_in = self.by_place[id(accepted)][1]
            left = list(stand_in.trusted)
            if one in left:
                left.remove(one)  # once, for the one time that it was added
            stand_in.trusted = tuple(left)
            if not left:
                accepted.key_source = stand_in.replaced
                del self.by_place[id(accepted)]


_stand_ins: Final = _StandIns()

Trusted = Callable[[], None]
"""Ends the trust; calling it again does nothing."""


def trust(verifier: Verifier, one: PublishesKeys) -> Trusted:
    """Have a verifier believe an issuer in memory, as every issuer that it accepts.

    Args:
        verifier: The verifier, whenever it was made.
        one: The issuer in memory.

    Returns:
        What ends it.
    """
    places = list(engine_of(verifier).issuers)
    for accepted in places:
        _stand_ins.add(accepted, one)

    def withdraw() -> None:
        while places:
            _stand_ins.remove(places.pop(), one)

    return withdraw
