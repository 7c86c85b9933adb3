"""The keys of one issuer: the one that signs, and those that are published besides.

Everything follows from the clock of the issuer and is worked out when keys are asked for; no thread waits
for a time to come. A clock that is set back or jumps ahead leads to no more than one rotation, and lets no
replaced key be published for longer than the overlap.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children
from doorward.shown import quoted
from doorward_integrations.emulator.keys.schedule import RotationSchedule
from doorward_integrations.emulator.keys.signing_key import SigningKey
from doorward_integrations.emulator.state_file import StateError

__all__ = ["KeyRing", "KeySlot", "RingKey", "RingState"]

_RETRY: Final = 10.0  # seconds until a rotation by schedule that could not be kept is tried again

_log = logging.getLogger("doorward.emulator")


@dataclass(frozen=True, slots=True)
class RingKey:
    """A published key.

    Attributes:
        key: The key.
        since: When it began to sign, in seconds since the epoch.
        until: When it is not published any more; None while it signs, and for a replaced key that stays until
            the next one is replaced.
    """

    key: SigningKey
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RingState:
    """All keys of a ring; replaced whole.

    Attributes:
        current: The key that signs; None before the first use.
        replaced: The others that are published, the newest first.
    """

    current: RingKey | None = None
    replaced: tuple[RingKey, ...] = ()


class KeySlot(Protocol):
    """Where the keys of a ring are kept."""

    def load(self) -> RingState:
        """Return what is kept; an empty state if nothing is.

        Raises:
            ConfigurationError: If what is kept cannot be used.
        """
        ...

    def save(self, state: RingState, /) -> None:
        """Keep a state in place of the one before.

        Args:
            state: The keys.

        Raises:
            StateError: If that fails; then the one before is kept.
        """
        ...


class KeyRing:
    """The keys of one issuer. They are made when they are first needed. Safe to use from threads."""

    def __init__(
        self,
        make_key: Callable[[], SigningKey],
        *,
        clock: Callable[[], float],
        schedule: RotationSchedule | None = None,
    ) -> None:
        """Make a ring; this makes no key yet.

        Args:
            make_key: Makes a signing key.
            clock: Returns the time in seconds since the epoch.
            schedule: When the key that signs is replaced; only on request by default.
        """
        self._make_key: Final = make_key
        self._clock: Final = clock
        self._schedule: Final = schedule or RotationSchedule()
        self._slot: KeySlot | None = None
        self._state = RingState()
        self._retry_at: float | None = None
        self._renew_lock()
        renew_in_children(self, KeyRing._renew_lock)

    def _renew_lock(self) -> None:
        # Held while a key is made and kept: two threads must not make two first keys.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        """Show the ids of the keys made so far."""
        return f"KeyRing({self.kids!r})"

    @property
    def kids(self) -> list[str]:
        """The ids of the keys that were made and are held; this makes none."""
        state = self._state
        current = [] if state.current is None else [state.current]
        return [one.key.kid for one in (*current, *state.replaced)]

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        with self._lock:
            return self._settled().key

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The published keys: the current one, then the replaced ones, the newest first."""
        return tuple(one.key for one in self.published())

    def published(self) -> tuple[RingKey, ...]:
        """Return the published keys and their times, the current one first."""
        with self._lock:
            current = self._settled()
            if self._schedule.overlap is None and not self._state.replaced:
                # Google publishes two keys at any time.
                self._change(replace(self._state, replaced=(RingKey(self._make_key(), current.since),)))
            return (current, *self._state.replaced)

    def keep(self, slot: KeySlot) -> None:
        """Take the keys that are kept in a slot, and keep every change there; once, before the first use.

        Args:
            slot: Where keys are kept.

        Raises:
            ConfigurationError: If what is kept cannot be used, or the keys of this ring could not be kept.
        """
        with self._lock:
            kept = slot.load()
            if kept.current is None and self._state.current is not None:
                slot.save(self._state)
                kept = self._state
            self._state, self._slot = kept, slot

    def rotate(self, *, withdraw: bool = False) -> SigningKey:
        """Sign with a new key from now on: one that was not published before.

        Args:
            withdraw: Whether the key that signed until now leaves at once, as after a leak. By default it
                is published for the overlap, so that its tokens stay valid.

        Returns:
            The new current key.

        Raises:
            StateError: If the new key could not be kept; then nothing has changed.
        """
        with self._lock:
            return self._rotate(self._clock(), withdraw=withdraw).key

    def revoke(self, kid: str) -> None:
        """Publish a key no longer, at once. If it is the one that signs, a new one takes its place.

        Args:
            kid: Its id.

        Raises:
            ConfigurationError: If no key with that id is published.
            StateError: If this could not be kept: the key is gone, but would be back after a restart.
        """
        with self._lock:
            published = self.published()
            if all(one.key.kid != kid for one in published):
                raise ConfigurationError(f"no key with the id {quoted(kid)} is published")
            current = published[0]
            if current.key.kid == kid:
                current = RingKey(self._make_key(), self._clock())
            left = tuple(one for one in published[1:] if one.key.kid != kid)
            self._state = RingState(current, left)
            _log.info("the key %s is revoked", kid)
            if self._slot is not None:
                self._slot.save(self._state)

    # With the lock held.

    def _settled(self) -> RingKey:
        """Bring the ring up to the time, and return the key that signs."""
        now, current = self._clock(), self._state.current
        if current is None:
            current = RingKey(self._make_key(), now)
            self._change(replace(self._state, current=current))
        elif current.since > now:  # the clock was set back
            current = replace(current, since=now)
            self._state = replace(self._state, current=current)
        elif self._is_due(now, current):
            try:
                current = self._rotate(now)
                self._retry_at = None
            except StateError as error:
                self._retry_at = now + _RETRY
                _log.error("the key %s goes on signing: %s", current.key.kid, error.message)
        self._state = replace(self._state, replaced=self._in_time(now))
        return current

    def _is_due(self, now: float, current: RingKey) -> bool:
        if self._schedule.every is None or now - current.since < self._schedule.every:
            return False
        # A retry that lies further ahead than ever set is of a clock that was set back.
        return self._retry_at is None or not 0 < self._retry_at - now <= _RETRY

    def _in_time(self, now: float) -> tuple[RingKey, ...]:
        overlap = self._schedule.overlap or 0.0
        bounded = (
            one if one.until is None else replace(one, until=min(one.until, now + overlap))
            for one in self._state.replaced
        )
        return tuple(one for one in bounded if one.until is None or now < one.until)

    def _rotate(self, now: float, *, withdraw: bool = False) -> RingKey:
        before, overlap = self._state.current, self._schedule.overlap
        if before is None and not withdraw:
            before = RingKey(self._make_key(), now)
        replaced: tuple[RingKey, ...] = () if before is None or withdraw else (before,)
        if overlap is not None:
            leaving = (replace(one, until=now + overlap) for one in replaced if overlap)
            replaced = (*leaving, *(one for one in self._in_time(now) if one.until is not None))
        new = RingKey(self._make_key(), now)
        self._change(RingState(new, replaced))
        _log.info("the emulated issuer signs with key %s now", new.key.kid)
        return new

    def _change(self, state: RingState) -> None:
        """Keep a state, then use it."""
        if self._slot is not None:
            self._slot.save(state)
        self._state = state
