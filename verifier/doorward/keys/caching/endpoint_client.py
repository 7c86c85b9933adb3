"""The client of one key endpoint: sends a request, and reads all of the answer before any of it counts.

Keys that come from a snapshot or a seed are read here too, by the same parser and under the same bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from doorward.errors import ConfigurationError, FetchError
from doorward.keys.caching.snapshot import Snapshot
from doorward.keys.fetch import Fetch
from doorward.keys.formats.keyset import KeySet, parse_key_set
from doorward.keys.http.freshness import Freshness, Validators, freshness_of, validators_of
from doorward.keys.http.urls import check_key_url, shown_url
from doorward.keys.key import check_algorithms
from doorward.keys.state import HeldKeys

__all__ = ["EndpointClient", "PublishedKeys"]


class PublishedKeys(NamedTuple):
    """What a good answer of the endpoint holds.

    Attributes:
        key_set: The keys.
        freshness: For how long they may be used.
        validators: For the next conditional request.
        body: The body that the keys were read from; None after a 304, which has none.
    """

    key_set: KeySet
    freshness: Freshness
    validators: Validators
    body: bytes | None


class EndpointClient:
    """Asks one key endpoint for its keys.

    Attributes:
        url: The key endpoint.
        shown_url: The same without its query, for logs, errors and health.
        algorithms: What the issuer signs with.
    """

    def __init__(
        self,
        url: str,
        algorithms: tuple[str, ...],
        *,
        fetch: Fetch,
        max_stale: float,
        obey_must_revalidate: bool,
        clock: Callable[[], float],
    ) -> None:
        """Take settings of a `KeyCache`, which describes them.

        Raises:
            ConfigurationError: If the URL or an algorithm is not acceptable.
        """
        self.algorithms: Final[tuple[str, ...]] = check_algorithms(algorithms)
        self.url: Final[str] = check_key_url(url)
        self.shown_url: Final[str] = shown_url(url)
        self._fetch: Final = fetch
        self._max_stale: Final = max_stale
        self._obey_must_revalidate: Final = obey_must_revalidate
        self._clock: Final = clock

    def prepare(self) -> None:
        """Do what comes before each request and needs no network, such as a slow import."""
        prepare = getattr(self._fetch, "prepare", None)
        if callable(prepare):
            prepare()

    def ask(self, held: HeldKeys, trigger: str) -> PublishedKeys:
        """Send one request, conditional where the endpoint has sent a validator.

        Args:
            held: The keys that are held now.
            trigger: Why the endpoint is asked; see `FetchStarted`.

        Returns:
            What the endpoint publishes.

        Raises:
            FetchError: If the answer is not usable.
        """
        conditions = held.validators.headers()
        headers = dict(conditions)
        if trigger != "refresh":
            # An HTTP cache between here and the endpoint may not have the new key either.
            headers["cache-control"] = "no-cache"
        response = self._fetch(self.url, headers)
        if response.body is None and not conditions:
            raise FetchError("status", "answered with 304 to an unconditional request")
        wall = self._clock()
        freshness = freshness_of(
            response.headers, wall, self._max_stale, obey_must_revalidate=self._obey_must_revalidate
        )
        if response.body is None:
            key_set = held.key_set
        else:
            key_set = parse_key_set(response.body, self.algorithms, wall)
        return PublishedKeys(key_set, freshness, validators_of(response.headers), response.body)

    def read_snapshot(self, kept: Snapshot) -> PublishedKeys:
        """Read the keys that an earlier process has kept.

        Args:
            kept: The snapshot.

        Returns:
            The keys. They may be stale for as long as `max_stale` of this process allows, also if the process
            that wrote the snapshot allowed more.

        Raises:
            FetchError: If they are not a usable key set.
        """
        key_set = parse_key_set(kept.body, self.algorithms, self._clock())
        stale_after = kept.freshness.stale_after
        dead_after = min(kept.freshness.dead_after, stale_after + self._max_stale)
        return PublishedKeys(key_set, Freshness(stale_after, dead_after), kept.validators, kept.body)

    def read_seed(self, body: bytes) -> PublishedKeys:
        """Read the keys of a seed, which are stale from the start.

        Args:
            body: A key set, in any form that the endpoint may publish it in.

        Returns:
            The keys.

        Raises:
            ConfigurationError: If it is not a usable key set, or `max_stale` forbids stale keys.
        """
        if not self._max_stale:
            raise ConfigurationError(
                "max_stale=0 forbids stale keys, and seeded keys are stale: raise it, or do not seed"
            )
        try:
            key_set = parse_key_set(body, self.algorithms, self._clock())
        except FetchError as error:
            raise ConfigurationError(f"the seed is not a usable key set: {error.message}") from error
        return PublishedKeys(key_set, Freshness(0.0, self._max_stale), Validators(), body)
