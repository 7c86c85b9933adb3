"""What a key cache does, as metrics of OpenTelemetry.

::

    metrics = KeyMetrics()
    cache = KeyCache(GOOGLE.key_url, listener=metrics)
    metrics.observe(cache)
    verifier = Verifier(audience, key_cache=lambda issuer: cache)

Only the API is needed here, the extra ``doorward[otel]``; the application brings the SDK, and without one
nothing is measured and nothing is spent. Attributes name the endpoint as the semantic conventions do
(``server.address``, ``server.port``, ``url.path``, ``error.type``); those of doorward's own begin with
``doorward.``. None holds what a caller has sent, so that nobody can make up series.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from doorward import ConfigurationError, KeyCache
from doorward.keys.events import (
    FetchFinished,
    KeyEvent,
    Listener,
    SetRefused,
    StaleUsed,
    StateChanged,
    UnknownKid,
    log_event,
)
from doorward.keys.state import KeyState

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ConfigurationError("metrics need opentelemetry-api: pip install 'doorward[otel]'") from None

__all__ = ["KeyMetrics"]

Attributes = Mapping[str, str | int]

# As the conventions advise for ``http.client.request.duration``. The SDK's own are for milliseconds.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PORTS: Final = {"http": 80, "https": 443}


@functools.lru_cache(maxsize=64)
def _endpoint(url: str) -> Attributes:
    """Name a key endpoint; without its query, which might hold an API key."""
    parts = urlsplit(url)
    return MappingProxyType(
        {
            "server.address": parts.hostname or "",
            "server.port": parts.port or _PORTS[parts.scheme],
            "url.path": parts.path,
        }
    )


class KeyMetrics:
    """A listener of key caches that counts what they tell.

    Counters: ``doorward.keys.fetches`` by ``doorward.outcome`` and ``doorward.trigger`` (and ``error.type``,
    the stage of `doorward.FetchError`), ``doorward.keys.stale_uses``, ``doorward.keys.unknown_kids`` by
    ``doorward.outcome``, ``doorward.keys.state_changes`` by ``doorward.before`` and ``doorward.after``, and
    ``doorward.keys.refused_sets`` by ``error.type``. Histogram: ``doorward.keys.fetch.duration``, in seconds,
    with the attributes of the fetches. Gauges, for each cache that is observed: ``doorward.keys.age``, in
    seconds, and ``doorward.keys.state``, 1 for the ``doorward.state`` it is in and 0 for the others.
    """

    def __init__(self, meter: Meter | None = None, *, then: Listener | None = log_event) -> None:
        """Make the instruments.

        Args:
            meter: What to make them with; by default the meter ``doorward`` of the global provider, which
                may be set later.
            then: Is told every event afterwards; logs by default, as a cache without these metrics does.
        """
        meter = meter if meter is not None else get_meter("doorward")
        self._then: Final = then
        self._fetches: Final = meter.create_counter(
            "doorward.keys.fetches", "{fetch}", "Fetches of a key set that are over."
        )
        self._duration: Final = meter.create_histogram(
            "doorward.keys.fetch.duration",
            "s",
            "How long fetches of a key set took.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._stale_uses: Final = meter.create_counter(
            "doorward.keys.stale_uses", "{use}", "Uses of keys past their freshness."
        )
        self._unknown_kids: Final = meter.create_counter(
            "doorward.keys.unknown_kids", "{token}", "Tokens that named a key id that is not known."
        )
        self._state_changes: Final = meter.create_counter(
            "doorward.keys.state_changes", "{change}", "Changes of the state that a cache was seen in."
        )
        self._refused_sets: Final = meter.create_counter(
            "doorward.keys.refused_sets", "{key_set}", "Answers that were refused whole."
        )
        # Weakly, since an instrument lives as long as its provider: it must not keep a dropped cache alive.
        self._caches: Final[weakref.WeakSet[KeyCache]] = weakref.WeakSet()
        self._lock: Final = threading.Lock()
        gauges: tuple[tuple[str, Callable[[CallbackOptions], Iterable[Observation]], str, str], ...] = (
            ("doorward.keys.age", self._ages, "s", "Time since the endpoint last confirmed the keys."),
            ("doorward.keys.state", self._states, "1", "1 for the state that a cache is in, else 0."),
        )
        for name, callback, unit, description in gauges:
            meter.create_observable_gauge(name, [callback], unit, description)

    def observe(self, cache: KeyCache) -> None:
        """Report the age and the state of a cache each time that metrics are collected.

        Args:
            cache: A cache; the only one of its endpoint that is observed, or their series are mixed up.
        """
        with self._lock:
            self._caches.add(cache)

    def __call__(self, event: KeyEvent) -> None:
        """Count an event, and pass it on.

        Args:
            event: What happened.
        """
        endpoint = _endpoint(event.url)
        match event:
            case FetchFinished():
                about = {**endpoint, "doorward.outcome": event.outcome, "doorward.trigger": event.trigger}
                if event.error is not None:
                    about["error.type"] = event.error.stage
                self._fetches.add(1, about)
                self._duration.record(event.seconds, about)
            case StaleUsed():
                self._stale_uses.add(1, endpoint)
            case UnknownKid():
                self._unknown_kids.add(1, {**endpoint, "doorward.outcome": event.outcome})
            case StateChanged():
                states = {"doorward.before": event.before.value, "doorward.after": event.after.value}
                self._state_changes.add(1, {**endpoint, **states})
            case SetRefused():
                self._refused_sets.add(1, {**endpoint, "error.type": event.error.stage})
            case _:
                pass  # a fetch that has begun is counted when it is over
        if self._then is not None:
            self._then(event)

    def _observed(self) -> list[KeyCache]:
        with self._lock:
            return list(self._caches)

    def _ages(self, _: CallbackOptions) -> Iterable[Observation]:
        for cache in self._observed():
            if (age := cache.age) is not None:
                yield Observation(age, _endpoint(cache.url))

    def _states(self, _: CallbackOptions) -> Iterable[Observation]:
        for cache in self._observed():
            now = cache.state
            for state in KeyState:
                yield Observation(int(state is now), {**_endpoint(cache.url), "doorward.state": state.value})
