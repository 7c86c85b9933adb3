"""A verifier on a clock that is moved by hand, over a key endpoint without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from doorward import Issuer, KeyCache, Verifier
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.tokens import AUDIENCE, SigningKey, token

__all__ = ["World"]


@dataclass
class World:
    """A clock, an issuer's key, its endpoint, and verifiers over them."""

    clock: ManualClock = field(default_factory=ManualClock)
    key: SigningKey = field(default_factory=lambda: SigningKey("key-1"))
    endpoint: KeyEndpoint = field(init=False)

    def __post_init__(self) -> None:
        self.endpoint = KeyEndpoint(self.key)

    def cache(self, issuer: Issuer, **settings: Any) -> KeyCache:
        settings = {"fetch": self.endpoint, "clock": self.clock, "monotonic": self.clock, **settings}
        return KeyCache(issuer.key_url, issuer.algorithms, **settings)

    def verifier(self, audience: Any = AUDIENCE, **settings: Any) -> Verifier:
        make: Callable[[Issuer], KeyCache] = self.cache
        return Verifier(audience, **{"clock": self.clock, "key_cache": make, **settings})

    def token(self, **changed: Any) -> str:
        return token(self.key, self.clock.now, **changed)
