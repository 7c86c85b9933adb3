"""ID tokens by audience, for every thread and event loop of a process."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypedDict

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children
from doorward.keys.waiting import BLOCKING, IN_LOOP, run_blocking
from doorward_integrations.calling.audience_token import AudienceToken, Clocks
from doorward_integrations.calling.emulator_source import default_source
from doorward_integrations.calling.errors import IdTokenError
from doorward_integrations.calling.source import IdTokenSource, check_audience

__all__ = ["AudienceHealth", "IdTokens", "IdTokensHealth", "shared_tokens", "tokens_of"]


class AudienceHealth(TypedDict):
    """The state of the token of one audience.

    Attributes:
        audience: The audience.
        expires_in: Seconds until the token that is held expires; None if none is held.
        fetches: How many fetches have started.
        failures: How many have failed in a row.
        last_error: Why the last one failed; None if it did not.
    """

    audience: str
    expires_in: float | None
    fetches: int
    failures: int
    last_error: str | None


class IdTokensHealth(TypedDict):
    """What `IdTokens.health` returns; it can be written as JSON, and holds no token.

    Attributes:
        audiences: One entry for each audience, in the order in which they were first asked for.
    """

    audiences: list[AudienceHealth]


class IdTokens:
    """Caches one ID token for each audience, and fetches it once for all callers.

    A token is renewed in the background some minutes before it expires, while it goes on being used. While
    its source is away it is used until half a minute before its expiry; then callers get an `IdTokenError`
    at once, and the source is asked again after some seconds.
    """

    def __init__(
        self,
        source: IdTokenSource | None = None,
        *,
        renew_before: float = 300.0,
        patience: float = 10.0,
        capacity: int = 100,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Take the settings; nothing is fetched yet.

        Args:
            source: Where tokens come from; by default the emulator that ``DOORWARD_EMULATOR_HOST`` names,
                else google-auth.
            renew_before: Seconds before its expiry from which a token is renewed; at most a quarter of its
                life.
            patience: Seconds for which a caller waits for a token at most.
            capacity: Audiences whose tokens are held at most; the least recently used is dropped first.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.
            rng: Source of the jitter.

        Raises:
            ConfigurationError: If the source is none, a number is not positive, or the default source cannot
                work.
        """
        if min(renew_before, patience, capacity) <= 0 or patience > threading.TIMEOUT_MAX:
            raise ConfigurationError(
                "renew_before, patience (seconds) and capacity must be positive and finite"
            )
        if source is not None and not isinstance(source, IdTokenSource):
            raise ConfigurationError(
                f"a source of type {type(source).__name__} has no method fetch(audience); credentials of "
                "google-auth go into GoogleAuthSource(credentials)"
            )
        self._source: Final = default_source() if source is None else source
        self._renew_before: Final = renew_before
        self._patience: Final = patience
        self._capacity: Final = capacity
        self._clocks: Final = Clocks(clock, monotonic, random.Random() if rng is None else rng)  # noqa: S311
        self._audiences: dict[str, AudienceToken] = {}
        self._lock = threading.Lock()
        renew_in_children(self, IdTokens._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    def get(self, audience: str) -> str:
        """Return a token, fetching it if none is cached; this blocks while it is fetched.

        Args:
            audience: Whom the token is made for.

        Returns:
            The token in its compact form, good for half a minute at least, unless it is made for less.

        Raises:
            IdTokenError: If there is none.
            ConfigurationError: If the audience cannot be one.
        """
        one = self._of(audience)
        return one.at_hand() or run_blocking(one.get(BLOCKING, self._patience))

    async def aget(self, audience: str) -> str:
        """As `get`, in the running event loop of asyncio or trio.

        Args:
            audience: Whom the token is made for.

        Returns:
            The token.

        Raises:
            IdTokenError: If there is none.
            ConfigurationError: If the audience cannot be one.
        """
        one = self._of(audience)
        return one.at_hand() or await one.get(IN_LOOP, self._patience)

    def replace(self, audience: str, refused: str) -> str | None:
        """Return a new token in place of one that a service has refused with 401; this blocks meanwhile.

        A burst of three fetches, and one more every 30 s, is what refused tokens of one audience can cause.

        Args:
            audience: Whom the token is made for.
            refused: The token that was refused.

        Returns:
            A token that was fetched since, also where that is the same one; None if none was.
        """
        return run_blocking(self._of(audience).replace(refused, BLOCKING, self._patience))

    async def areplace(self, audience: str, refused: str) -> str | None:
        """As `replace`, in the running event loop of asyncio or trio.

        Args:
            audience: Whom the token is made for.
            refused: The token that was refused.

        Returns:
            A token that was fetched since, also where that is the same one; None if none was.
        """
        return await self._of(audience).replace(refused, IN_LOOP, self._patience)

    def deliver(self, audience: str, receive: Callable[[str | None, IdTokenError | None], object]) -> None:
        """Hand a token to a function, without waiting for it.

        Args:
            audience: Whom the token is made for.
            receive: Called once with the token or with the error: at once, or later in the thread that has
                fetched. It must not wait for anything.

        Raises:
            ConfigurationError: If the audience cannot be one.
        """
        one = self._of(audience)
        token = one.at_hand()
        if token is not None:
            receive(token, None)
            return

        def settle() -> None:
            try:
                found = one.outcome()
            except IdTokenError as error:
                receive(None, error)
            else:
                receive(found, None)

        try:
            flight = one.flight()
        except IdTokenError as error:
            receive(None, error)
        else:
            if flight is None:
                settle()
            else:
                flight.then(settle)

    def health(self) -> IdTokensHealth:
        """Return its state as plain data, for a health page.

        Returns:
            The members of `IdTokensHealth`.
        """
        now = self._clocks.wall()
        with self._lock:
            listed = list(self._audiences.items())
        return {
            "audiences": [
                {
                    "audience": audience,
                    "expires_in": None if (held := one.held) is None else held.expires_at - now,
                    "fetches": one.fetches,
                    "failures": one.failures,
                    "last_error": one.last_error,
                }
                for audience, one in listed
            ]
        }

    def _of(self, audience: str) -> AudienceToken:
        one = self._audiences.get(audience) if isinstance(audience, str) else None
        if one is None:
            check_audience(audience)
            with self._lock:
                one = self._audiences.get(audience)
                if one is None:
                    one = AudienceToken(audience, self._source, self._renew_before, self._clocks)
                    one.used_at = self._clocks.monotonic()
                    self._audiences[audience] = one
                    self._drop_over_capacity()
        one.used_at = self._clocks.monotonic()
        return one

    def _drop_over_capacity(self) -> None:
        if len(self._audiences) > self._capacity:
            *others, _newest = self._audiences
            del self._audiences[min(others, key=lambda name: self._audiences[name].used_at)]


_shared: Final[dict[str, IdTokens]] = {}


def shared_tokens() -> IdTokens:
    """Return the cache that everything uses which was given no other, made when it is first asked for.

    Its source is chosen by the environment as it is then; see `IdTokens`.

    Returns:
        The cache of this process.

    Raises:
        ConfigurationError: If the default source cannot work.
    """
    # Of two threads that come first at once, both get the one that was stored first.
    return _shared.get("tokens") or _shared.setdefault("tokens", IdTokens())


def tokens_of(given: IdTokens | None) -> IdTokens:
    """Return the cache that was given, or that of the process.

    Args:
        given: The cache; None for that of the process.

    Returns:
        The cache.

    Raises:
        ConfigurationError: If it is something else, or the default source cannot work.
    """
    if given is not None and not isinstance(given, IdTokens):
        raise ConfigurationError(f"tokens must be IdTokens, not {type(given).__name__}")
    return shared_tokens() if given is None else given
