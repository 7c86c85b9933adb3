"""An issuer in memory: real, signed tokens without a socket, for the verifiers that a test points at it.

::

    def test_expired(doorward_issuer):
        doorward_issuer.stand_in_for(app)
        token = doorward_issuer.expired("sa@my-project.iam.gserviceaccount.com")
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from doorward import GOOGLE, ConfigurationError, Issuer, Principal, Verifier
from doorward.door.base import BaseDoor
from doorward.keys.formats.keyset import parse_key_set
from doorward.keys.key import VerificationKey
from doorward.tokens.accepted_issuer import AcceptedIssuer
from doorward.tokens.verifier import engine_of
from doorward_integrations.testing.doors import verifiers_of
from doorward_integrations.testing.keys import Part, SigningKey, key_of
from doorward_integrations.testing.running import require
from doorward_integrations.testing.seam import watch
from doorward_integrations.testing.shapes import claims_of, identity_of, times_of
from doorward_integrations.testing.trust import trust

__all__ = ["WRONG_AUDIENCE", "MemoryIssuer"]

WRONG_AUDIENCE: Final = "https://another-service-1234567890.europe-west1.run.app"
"""The audience of a service that is not the tested one."""

_LONG: Final = 7_200  # seconds: longer than any token that these issuers make lives, leeway included


class MemoryIssuer:
    """Signs tokens as every issuer that a verifier accepts, with keys of this process alone.

    It is a context manager, and what it stands in for is as before when it is left. The pytest fixture
    ``doorward_issuer`` is one that is left at the end of the test.

    The first verifier that it stands in for gives the audience, the issuer and the clock of its tokens,
    unless a call says otherwise.
    """

    def __init__(self, *, clock: Callable[[], float] | None = None, keys: str = "") -> None:
        """Make an issuer; this makes no key yet.

        Args:
            clock: Returns the time in seconds since the epoch; by default that of the first verifier.
            keys: Names its keys: issuers with the same name have the same ones.

        Raises:
            ConfigurationError: If no test is running here.
        """
        require("MemoryIssuer()")
        self._clock: Final = clock
        self._keys: Final = keys
        self._generation = 0
        self._oldest = 0
        self._broken = False
        self._published: dict[str, Mapping[str, VerificationKey]] = {}
        self._doors: list[BaseDoor] = []
        self._verifiers: list[Verifier] = []
        self._ends: Final = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what it stands in for."""
        self._doors.clear()
        self._verifiers.clear()
        self._ends.close()

    def stand_in_for(self, *targets: object) -> Self:
        """Have verifiers believe this issuer, in place of their own keys, until it is left.

        Args:
            *targets: Verifiers, doors, applications or clients, whenever they were made.

        Returns:
            The issuer itself.

        Raises:
            ConfigurationError: If no test is running here, or a target has neither verifier nor door.
        """
        require("stand_in_for(...)")
        for target in targets:
            doors, verifiers = verifiers_of(target)
            for door in doors:
                self._ends.callback(watch(door))
                self._doors.append(door)
            for verifier in verifiers:
                self._ends.callback(trust(verifier, self))
                self._verifiers.append(verifier)
        return self

    # What a test does to the issuer.

    def rotate(self, *, withdraw: bool = False) -> None:
        """Sign with a new key from now on.

        Args:
            withdraw: Whether the keys before it are published no longer, as after a leak: their tokens are
                then refused, cached or not. By default one key before it is published, too, as Google does
                it.
        """
        self._generation += 1
        self._oldest = self._generation if withdraw else max(self._oldest, self._generation - 1)
        self._published = {}

    def break_endpoint(self) -> contextlib.AbstractContextManager[None]:
        """Have no key from now on, as where the key endpoint is away for longer than keys may be used: 503.

        Returns:
            A context manager that mends it at its end; `mend_endpoint` does it, too.
        """
        self._broken = True
        return self._mended_at_the_end()

    def mend_endpoint(self) -> None:
        """Publish the keys again."""
        self._broken = False

    @contextlib.contextmanager
    def _mended_at_the_end(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.mend_endpoint()

    @property
    def doors(self) -> tuple[BaseDoor, ...]:
        """The doors whose verifiers it stands in for."""
        return tuple(self._doors)

    # Its keys.

    def key(self, issuer: Issuer = GOOGLE) -> SigningKey:
        """Return the key that signs now.

        Args:
            issuer: As which issuer.
        """
        return self._key(issuer, self._generation)

    def _key(self, issuer: Issuer, generation: int) -> SigningKey:
        return key_of(self._keys + issuer.iss_values[0], issuer.algorithms[0], generation)

    def jwks(self, issuer: Issuer = GOOGLE) -> dict[str, list[dict[str, str]]]:
        """Return the published keys as a JWK Set (RFC 7517, section 5), for a guard that is not doorward's.

        Args:
            issuer: As which issuer.
        """
        generations = range(self._generation, self._oldest - 1, -1)
        return {"keys": [self._key(issuer, one).jwk() for one in generations]}

    def published(self, issuer: Issuer, /) -> Mapping[str, VerificationKey] | None:
        """Return the public keys as a verifier holds them; None if the endpoint is broken.

        Args:
            issuer: As which issuer.
        """
        if self._broken:
            return None
        iss = issuer.iss_values[0]
        found = self._published.get(iss)
        if found is None:
            found = parse_key_set(json.dumps(self.jwks(issuer)).encode(), issuer.algorithms, 0.0).keys
            self._published[iss] = found
        return found

    # Its tokens.

    def token_for(
        self,
        who: str | Principal,
        audience: str | None = None,
        *,
        issuer: Issuer | None = None,
        header: Mapping[str, object] | None = None,
        **claims: Any,  # noqa: ANN401 - claims are of any type
    ) -> str:
        """Make a token, a good one unless the claims say otherwise.

        Args:
            who: The caller: an address, or what `principal` returned.
            audience: The claim ``aud``; by default the audience of the first verifier.
            issuer: As which issuer; by default that of the caller, or the first one of the first verifier.
            header: Header parameters to change or to add; None removes one.
            **claims: Claims to change or to add, such as ``exp``; None removes one.

        Returns:
            The token, a compact JWS.

        Raises:
            ConfigurationError: If no test is running, no audience is known, or the verifier accepts no such
                issuer.
        """
        require("token_for(...)")
        return self.make(who, audience, issuer=issuer, header=header, claims=claims)

    def make(
        self,
        who: str | Principal,
        audience: str | None = None,
        *,
        issuer: Issuer | None = None,
        header: Mapping[str, object] | None = None,
        claims: Mapping[str, object] | None = None,
    ) -> str:
        """Do as `token_for`, also in a thread of which it cannot be seen that a test is running."""
        shape, payload = self.payload_for(who, audience, issuer=issuer)
        changed = {name: value for name, value in (payload | dict(claims or {})).items() if value is not None}
        key = self.key(shape)
        head = {"alg": key.alg, "kid": key.kid, "typ": "JWT"} | dict(header or {})
        return key.sign({name: value for name, value in head.items() if value is not None}, changed)

    def sign(self, header: Part, payload: Part, issuer: Issuer = GOOGLE) -> str:
        """Sign any header over any payload, as objects or as bytes; neither is checked.

        Args:
            header: The header.
            payload: The payload.
            issuer: As which issuer.

        Returns:
            The token.
        """
        require("sign(...)")
        return self.key(issuer).sign(header, payload)

    def expired(self, who: str | Principal, audience: str | None = None, **claims: Any) -> str:  # noqa: ANN401 - as `token_for`
        """Make a token that was good some hours ago; arguments as for `token_for`."""
        return self._at(-2 * _LONG, who, audience, claims)

    def not_yet_valid(self, who: str | Principal, audience: str | None = None, **claims: Any) -> str:  # noqa: ANN401 - as `token_for`
        """Make a token that will be good in some hours; arguments as for `token_for`."""
        return self._at(_LONG, who, audience, claims)

    def wrong_audience(self, who: str | Principal, **claims: Any) -> str:  # noqa: ANN401 - as `token_for`
        """Make a token that is good at another service."""
        return self.token_for(who, WRONG_AUDIENCE, **claims)

    def wrong_issuer(self, who: str | Principal, audience: str | None = None, **claims: Any) -> str:  # noqa: ANN401 - as `token_for`
        """Make a token whose ``iss`` no service could know; arguments as `token_for`."""
        return self.token_for(who, audience, **{"iss": "https://issuer.example", **claims})

    def wrong_key(self, who: str | Principal, audience: str | None = None) -> str:
        """Make a forgery: all is right but the signature, which another key has made under the right id."""
        require("wrong_key(...)")
        shape, payload = self.payload_for(who, audience)
        key = self.key(shape)
        return key_of("a forger", key.alg, 0).sign({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, payload)

    def _at(self, shift: int, who: str | Principal, audience: str | None, claims: Mapping[str, Any]) -> str:
        shape, _ = self.payload_for(who, audience)
        return self.token_for(who, audience, **{**times_of(shape, int(self.now()) + shift), **claims})

    def payload_for(
        self, who: str | Principal, audience: str | None = None, *, issuer: Issuer | None = None
    ) -> tuple[Issuer, dict[str, object]]:
        """Return the payload of a good token, and the issuer whose shape it has.

        Args:
            who: The caller.
            audience: As for `token_for`.
            issuer: As for `token_for`.

        Returns:
            The issuer, and the claims.

        Raises:
            ConfigurationError: As `token_for`.
        """
        accepted = self._accepted(who, issuer)
        shape = issuer or (GOOGLE if accepted is None else accepted.issuer)
        if audience is None:
            audience = None if accepted is None else audience_of(accepted)
        if audience is None:
            raise ConfigurationError("no audience is known: give one, or call stand_in_for(app) before")
        claims = identity_of(shape, who) if isinstance(who, str) else claims_of(who)
        return shape, claims | {"aud": audience} | times_of(shape, int(self.now()))

    def _accepted(self, who: str | Principal, issuer: Issuer | None) -> AcceptedIssuer | None:
        """Return the issuer of a token, as the first verifier that accepts it does."""
        every = [one for verifier in self._verifiers for one in engine_of(verifier).issuers]
        named = issuer.iss_values[0] if issuer else None if isinstance(who, str) else who.issuer
        found = next((one for one in every if named is None or named in one.issuer.iss_values), None)
        if found is None and every and issuer is None:
            names = ", ".join(dict.fromkeys(one.issuer.name for one in every))
            raise ConfigurationError(
                f"the verifier accepts tokens of {names}, and the caller is one of {named}: "
                "principal(..., issuer=...) takes the issuer of the service"
            )
        return found

    def now(self) -> float:
        """Return the time of its clock, in seconds since the epoch."""
        if self._clock is not None:
            return float(self._clock())
        return engine_of(self._verifiers[0]).clock() if self._verifiers else time.time()


def audience_of(accepted: AcceptedIssuer) -> str | None:
    """Return an audience that is accepted of an issuer; None if none is written out.

    Args:
        accepted: The issuer as a verifier accepts it.
    """
    return min(accepted.expectations.audiences.exact, default=None)
