"""An issuer of ID tokens with keys of its own, whose tokens have the shape of Google's."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children
from doorward.issuers.google import GOOGLE
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT, Account
from doorward_integrations.emulator.keys import SigningKey

__all__ = ["EmulatedIssuer"]

# Of both accepted values, the one that Google's ID tokens have.
_GOOGLE_ISS: Final = GOOGLE.iss_values[0]
_HOUR: Final = 3_600
_SHOWN: Final = 200
_PLAIN: Final = re.compile(rf"[!-~]{{1,{_SHOWN}}}")

_log = logging.getLogger("doorward.emulator")


def _shown(value: object) -> str:
    """Bound what a request asked for to one line of the log, in quotes if it is not one plain word."""
    if not isinstance(value, str):
        return f"not a string but {type(value).__name__}"
    if _PLAIN.fullmatch(value):
        return value
    # ``ascii`` escapes every line break, such as U+2028, and what changes the direction of text.
    text = ascii(value[:_SHOWN])
    return text if len(value) <= _SHOWN else f"{text}..."


def _changed(original: dict[str, object], changes: Mapping[str, object] | None) -> dict[str, object]:
    """Apply changes; None removes a member."""
    return {name: value for name, value in (original | dict(changes or {})).items() if value is not None}


def _payload(claims: dict[str, object], changes: Mapping[str, object] | None) -> dict[str, object]:
    # Google's payloads are in alphabetical order, as far as they have been seen.
    return dict(sorted(_changed(claims, changes).items()))


class EmulatedIssuer:
    """Signs ID tokens as Google does, with keys that no other verifier accepts.

    Two keys are published at any time, as Google publishes two: the one that signs now and the one that
    signed before it. Keys are made when they are first needed. Safe to use from threads.
    """

    def __init__(
        self,
        *,
        iss: str = _GOOGLE_ISS,
        clock: Callable[[], float] = time.time,
        make_key: Callable[[], SigningKey] | None = None,
    ) -> None:
        """Make an issuer; this makes no key yet.

        Args:
            iss: The claim ``iss`` of its tokens.
            clock: Returns the time in seconds since the epoch, for the claims ``iat`` and ``exp``.
            make_key: Makes a signing key; a new RSA-2048 key by default.

        Raises:
            ConfigurationError: If ``iss`` is empty.
        """
        if not iss:
            raise ConfigurationError(f"an issuer needs a name for the claim 'iss', such as {_GOOGLE_ISS}")
        self._iss = iss
        self._clock = clock
        self._make_key = make_key or (lambda: SigningKey(clock=clock))
        self._current: SigningKey | None = None
        self._previous: SigningKey | None = None
        self._renew_lock()
        renew_in_children(self, EmulatedIssuer._renew_lock)

    def _renew_lock(self) -> None:
        # Reentrant: `keys` reads `current`, which may make the first key, while it holds the lock.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        """Show the claim ``iss`` and the ids of the keys made so far."""
        kids = [key.kid for key in (self._current, self._previous) if key is not None]
        return f"EmulatedIssuer(iss={self._iss!r}, kids={kids!r})"

    @property
    def iss(self) -> str:
        """The claim ``iss`` of its tokens."""
        return self._iss

    @property
    def clock(self) -> Callable[[], float]:
        """Its clock, which returns seconds since the epoch."""
        return self._clock

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        with self._lock:
            if self._current is None:
                self._current = self._make_key()
            return self._current

    @property
    def keys(self) -> tuple[SigningKey, SigningKey]:
        """The two published keys: the current one, then the previous one."""
        with self._lock:
            if self._previous is None:
                self._previous = self._make_key()
            return self.current, self._previous

    def rotate(self, *, withdraw: bool = False) -> SigningKey:
        """Sign with a new key from now on: one that was not published before.

        Args:
            withdraw: Whether to publish the key that signed until now no longer, as after a leak. By default
                it is published until the next rotation, so that its tokens stay valid until they expire.

        Returns:
            The new current key.
        """
        with self._lock:
            previous = None if withdraw else self.current
            self._current, self._previous = self._make_key(), previous
            _log.info("the emulated issuer signs with key %s now", self._current.kid)
            return self._current

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published keys as a JWK Set (RFC 7517, section 5).

        Returns:
            The document of ``/oauth2/v3/certs``.
        """
        return {"keys": [key.jwk() for key in self.keys]}

    def certificates(self) -> dict[str, str]:
        """Return the published keys as X.509 certificates.

        Returns:
            The document of ``/oauth2/v1/certs``: PEM by key id.
        """
        return {key.kid: key.certificate for key in self.keys}

    def mint(
        self,
        audience: str,
        *,
        email: str = DEFAULT_ACCOUNT,
        subject: str | None = None,
        issued_at: float | None = None,
        lifetime: int = _HOUR,
        claims: Mapping[str, object] | None = None,
        header: Mapping[str, object] | None = None,
        key: SigningKey | None = None,
    ) -> str:
        """Mint an ID token, or a hostile one: what is given here is not checked.

        The address decides whether the claims are a service account's or those that gcloud prints for a user.

        Args:
            audience: The claim ``aud``.
            email: The address of the account.
            subject: Its unique id, also in a service account's ``azp``; by default derived from the address.
            issued_at: Seconds since the epoch, cut to whole ones; now by default.
            lifetime: Seconds between ``iat`` and ``exp``.
            claims: Claims to change or to add; None removes one.
            header: Header parameters to change or to add, such as ``kid``; None removes one.
            key: The key that signs, the current one by default. One that is not published makes a forgery.

        Returns:
            The token, a compact JWS.

        Raises:
            ConfigurationError: If the e-mail is no address.
        """
        account = Account(email)
        key = key or self.current
        issued = int(self._clock() if issued_at is None else issued_at)
        times = {"exp": issued + lifetime, "iat": issued}
        payload = _payload(account.claims(subject) | {"aud": audience, "iss": self._iss} | times, claims)
        head = _changed({"alg": "RS256", "kid": key.kid, "typ": "JWT"}, header)
        _log.debug("minted an ID token for %s, audience %s", _shown(account.email), _shown(audience))
        return key.sign(head, payload)
