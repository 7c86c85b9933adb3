"""Holding the keys of one endpoint: they are replaced whole, by storing one reference."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from doorward.errors import FetchError
from doorward.forks import renew_in_children
from doorward.keys.caching.endpoint_client import EndpointClient, PublishedKeys
from doorward.keys.caching.snapshot import Snapshot
from doorward.keys.http.freshness import Freshness
from doorward.keys.state import NOTHING_HELD, HeldKeys, KeyState, refresh_age

__all__ = ["Holding"]

_log: Final = logging.getLogger("doorward.keys")


class _Answer(NamedTuple):
    """What is held, with the body it was read from, and when the endpoint was asked for it."""

    held: HeldKeys
    body: bytes
    asked_at_wall: float


class Holding:
    """What is held now. Readers take no lock; what replaces it holds the lock of the updater.

    Attributes:
        held: The keys, immutable.
    """

    def __init__(
        self,
        client: EndpointClient,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Hold nothing.

        Args:
            client: Reads what a snapshot holds.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.
            rng: Source of the jitter.
        """
        self.held: HeldKeys = NOTHING_HELD
        self._answer = _Answer(NOTHING_HELD, b"", 0.0)
        self._stored: HeldKeys = NOTHING_HELD
        self._client: Final = client
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._random: Final = rng
        self._published_at_wall = -math.inf
        renew_in_children(self, Holding.after_fork)

    @property
    def state(self) -> KeyState:
        """What can be done with the keys now."""
        return self.held.state(self._monotonic(), self._clock())

    def answered(self, answer: PublishedKeys, asked_at_wall: float) -> str:
        """Hold what the endpoint has answered just now.

        Args:
            answer: What it publishes.
            asked_at_wall: When it was asked, in seconds since the epoch.

        Returns:
            The outcome, as in `FetchFinished`.
        """
        now, wall, before = self._monotonic(), self._clock(), self.held.generation
        self._published_at_wall = wall
        self._replace(answer, now, wall, asked_at_wall)
        if self.held.generation != before:
            return "changed"
        return "not_modified" if answer.body is None else "unchanged"

    def seed(self, answer: PublishedKeys) -> None:
        """Hold what was shipped with the application, unless something is held.

        Args:
            answer: The keys.
        """
        if self.held is NOTHING_HELD:
            self._replace(answer, self._monotonic(), self._clock(), 0.0)
            self._stored = self._answer.held

    def read(self, kept: Snapshot) -> PublishedKeys | None:
        """Read the keys of a snapshot; needs no lock.

        Args:
            kept: What another process, or an earlier one, has written.

        Returns:
            None if they are not usable; then a warning says why.
        """
        try:
            return self._client.read_snapshot(kept)
        except FetchError as error:
            _log.warning("the key snapshot of %s is not used: %s", self._client.shown_url, error)
            return None

    def take(self, kept: Snapshot, answer: PublishedKeys) -> bool:
        """Hold the keys of a snapshot, as old as they are, if they are newer than what is held.

        Args:
            kept: The snapshot.
            answer: What `read` made of it.

        Returns:
            Whether they are held now.
        """
        wall = self._clock()
        if kept.confirmed_at_wall <= self._published_at_wall:
            return False
        self._published_at_wall = min(kept.confirmed_at_wall, wall)  # the clock of its process may be ahead
        confirmed_at = self._monotonic() - max(0.0, wall - kept.confirmed_at_wall)
        self._replace(answer, confirmed_at, min(kept.confirmed_at_wall, wall), kept.asked_at_wall)
        self._stored = self._answer.held
        return True

    def _replace(
        self, answer: PublishedKeys, confirmed_at: float, confirmed_at_wall: float, asked_at_wall: float
    ) -> None:
        held = self.held.replaced_by(
            answer.key_set,
            answer.freshness,
            answer.validators,
            confirmed_at=confirmed_at,
            confirmed_at_wall=confirmed_at_wall,
            jitter=self._random.random(),
        )
        body = self._answer.body if answer.body is None else answer.body
        # A child may be forked between the two. It may have the old validators with the new body, for which
        # the endpoint sends the whole set again, but not the new ones with the old body.
        self._answer = _Answer(held, body, asked_at_wall)
        self.held = held

    @property
    def unstored(self) -> bool:
        """Whether `snapshot` has something to write that it did not return before; takes no lock."""
        return self._answer.held is not self._stored

    def snapshot(self) -> Snapshot:
        """Return what is held as it is kept on disk, and count it as stored; takes no lock."""
        held, body, asked_at = self._answer
        self._stored = held
        freshness = Freshness(held.stale_after, held.dead_after)
        return Snapshot(self._client.url, body, held.confirmed_at_wall, freshness, held.validators, asked_at)

    def after_fork(self) -> None:
        """Keep the keys in a forked child, which is not to refresh them together with its siblings."""
        # The children of one parent would draw the same numbers.
        self._random.seed()
        if (held := self.held) is not NOTHING_HELD:
            self.held = replace(held, refresh_after=refresh_age(held.stale_after, self._random.random()))
