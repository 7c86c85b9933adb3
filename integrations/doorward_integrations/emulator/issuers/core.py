"""What every emulated issuer is made of: a ring of keys, and the signing of claims with its current one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Final, TypedDict

from doorward.shown import LONGEST, quoted
from doorward_integrations.emulator.keys.ring import KeyRing
from doorward_integrations.emulator.keys.schedule import RotationSchedule
from doorward_integrations.emulator.keys.signing_key import SigningKey

__all__ = ["SigningIssuer", "TokenChanges", "shown"]

_PLAIN: Final = re.compile(rf"[!-~]{{1,{LONGEST}}}")
_HOUR: Final = 3_600


class TokenChanges(TypedDict, total=False):
    """What may be changed in a token that is minted; nothing of it is checked. All are optional.

    Attributes:
        issued_at: Seconds since the epoch, cut to whole ones; now by default.
        lifetime: Seconds between ``iat`` and ``exp``.
        claims: Claims to change or to add; None removes one.
        header: Header parameters to change or to add, such as ``kid``; None removes one.
        key: The key that signs, the current one by default. One that is not published makes a forgery.
    """

    issued_at: float | None
    lifetime: int
    claims: Mapping[str, object] | None
    header: Mapping[str, object] | None
    key: SigningKey | None


def shown(value: object) -> str:
    """Bound what a request asked for to one line of the log, in quotes if it is not one plain word.

    Args:
        value: What was asked for.

    Returns:
        One line.
    """
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else quoted(value)


def _changed(original: dict[str, object], changes: Mapping[str, object] | None) -> dict[str, object]:
    """Apply changes; None removes a member."""
    return {name: value for name, value in (original | dict(changes or {})).items() if value is not None}


class SigningIssuer:
    """Signs claims with keys that only the emulator knows. Safe to use from threads.

    Attributes:
        name: Its name at the emulator's own endpoints.
        clock: Returns the time in seconds since the epoch, for ``iat``, ``exp`` and the rotation of keys.
        ring: Its keys.
        algorithm: What it signs with.
    """

    name: Final[str]
    clock: Final[Callable[[], float]]
    ring: Final[KeyRing]
    algorithm: Final[str]

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float] = time.time,
        make_key: Callable[[], SigningKey] | None = None,
        rotation: RotationSchedule | None = None,
        algorithm: str = "RS256",
    ) -> None:
        """Make an issuer; this makes no key yet.

        Args:
            name: Its name.
            clock: Returns the time in seconds since the epoch.
            make_key: Makes a signing key; a new one of the algorithm by default.
            rotation: When the key that signs is replaced; only on request by default.
            algorithm: What it signs with: ``RS256`` or ``ES256``.
        """
        self.name = name
        self.clock = clock
        self.algorithm = algorithm
        new_key = SigningKey.es256 if algorithm == "ES256" else SigningKey
        self.ring = KeyRing(make_key or (lambda: new_key(clock=clock)), clock=clock, schedule=rotation)

    def __repr__(self) -> str:
        """Show the name and the ids of the keys made so far."""
        return f"{type(self).__name__}({self.name!r}, kids={self.ring.kids!r})"

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return self.ring.current

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The published keys: the current one, then the replaced ones, the newest first."""
        return self.ring.keys

    def rotate(self, *, withdraw: bool = False) -> SigningKey:
        """Sign with a new key from now on; see `KeyRing.rotate`.

        Args:
            withdraw: Whether to publish the key that signed until now no longer, as after a leak. By default
                it is published until the next rotation, or for the overlap, so that its tokens stay valid.

        Returns:
            The new current key.
        """
        return self.ring.rotate(withdraw=withdraw)

    def revoke(self, kid: str) -> None:
        """Publish a key no longer, at once; see `KeyRing.revoke`.

        Args:
            kid: Its id.
        """
        self.ring.revoke(kid)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published keys as a JWK Set (RFC 7517, section 5).

        Returns:
            The document.
        """
        return {"keys": [key.jwk() for key in self.keys]}

    def certificates(self) -> dict[str, str]:
        """Return the published keys as X.509 certificates.

        Returns:
            PEM by key id.
        """
        return {key.kid: key.certificate for key in self.keys}

    def public_keys(self) -> dict[str, str]:
        """Return the published keys as plain public keys.

        Returns:
            PEM by key id.
        """
        return {key.kid: key.public_pem for key in self.keys}

    def sign(
        self,
        named: dict[str, object],
        *,
        issued_at: float | None = None,
        lifetime: int = _HOUR,
        claims: Mapping[str, object] | None = None,
        header: Mapping[str, object] | None = None,
        key: SigningKey | None = None,
    ) -> str:
        """Sign claims; nothing is checked.

        Args:
            named: The claims that say who and for whom.
            issued_at: As in `TokenChanges`; the same holds for the following arguments.
            lifetime: Seconds between ``iat`` and ``exp``.
            claims: Claims to change or to add.
            header: Header parameters to change or to add.
            key: The key that signs.

        Returns:
            The token, a compact JWS, its claims in alphabetical order as Google's are.
        """
        key = key or self.current
        issued = int(self.clock() if issued_at is None else issued_at)
        payload = _changed(named | {"exp": issued + lifetime, "iat": issued}, claims)
        head = _changed({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}, header)
        return key.sign(head, dict(sorted(payload.items())))
