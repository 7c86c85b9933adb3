"""Metrics of OpenTelemetry about what a door decides, and what its key caches do.

::

    door = Door(verifier, policy, listener=DoorMetrics())

    metrics = KeyMetrics()
    cache = KeyCache(GOOGLE.key_url, listener=metrics)
    metrics.observe(cache)
    verifier = Verifier(audience, key_cache=lambda issuer: cache)

Only the API of OpenTelemetry is needed, which the extra ``doorward[otel]`` installs. The application installs
the SDK; without one nothing is recorded. Attributes name the endpoint as the semantic conventions do
(``server.address``, ``server.port``, ``url.path``, ``error.type``); doorward's own begin with ``doorward.``.
No attribute holds what a caller has sent, so that no caller can create time series.
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
from doorward.door.events import Decided, DoorListener
from doorward.forks import renew_in_children
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
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ConfigurationError("metrics need opentelemetry-api: pip install 'doorward[otel]'") from None

__all__ = ["DoorMetrics", "KeyMetrics"]

Attributes = Mapping[str, str | int]

# The buckets that the conventions advise for ``http.client.request.duration``. Those of the SDK are for
# milliseconds.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PORTS: Final = {"http": 80, "https": 443}


@functools.lru_cache(maxsize=64)
def _endpoint(url: str) -> Attributes:
    """Return the attributes of a key endpoint, without its query, which might hold an API key."""
    parts = urlsplit(url)
    return MappingProxyType(
        {
            "server.address": parts.hostname or "",
            "server.port": parts.port or _PORTS[parts.scheme],
            "url.path": parts.path,
        }
    )


class DoorMetrics:
    """A listener of doors that counts their decisions; it counts also what the log only sums up.

    Counter: ``doorward.door.decisions`` by ``doorward.outcome`` (``admitted``, ``anonymous``, ``exempt`` or
    ``refused``) and, of a refusal, ``doorward.reason`` and ``http.response.status_code``.
    """

    def __init__(self, meter: Meter | None = None, *, then: DoorListener | None = None) -> None:
        """Make the instrument.

        Args:
            meter: Creates the instrument; by default the meter ``doorward`` of the global provider, which may
                be set later.
            then: Receives every decision afterwards.
        """
        meter = meter if meter is not None else get_meter("doorward")
        self._then: Final = then
        self._decisions: Final = meter.create_counter(
            "doorward.door.decisions", "{request}", "Requests that a door has decided on."
        )

    def __call__(self, event: Decided) -> None:
        """Count a decision, and pass it on.

        Args:
            event: The decision.
        """
        about: dict[str, str | int] = {"doorward.outcome": event.outcome}
        if event.reason is not None and event.status is not None:
            about |= {"doorward.reason": str(event.reason), "http.response.status_code": event.status}
        self._decisions.add(1, about)
        if self._then is not None:
            self._then(event)


class KeyMetrics:
    """A listener of key caches that counts their events.

    Counters: ``doorward.keys.fetches`` by ``doorward.outcome`` and ``doorward.trigger`` (and ``error.type``,
    the stage of the `doorward.FetchError`), ``doorward.keys.stale_uses``, ``doorward.keys.unknown_kids`` by
    ``doorward.outcome``, ``doorward.keys.state_changes`` by ``doorward.before`` and ``doorward.after``, and
    ``doorward.keys.refused_sets`` by ``error.type``. Histogram: ``doorward.keys.fetch.duration``, in seconds,
    with the attributes of the fetches. Gauges, for each cache given to `observe`: ``doorward.keys.age``, in
    seconds, and ``doorward.keys.state``, 1 for the current ``doorward.state`` and 0 for the others.
    """

    def __init__(self, meter: Meter | None = None, *, then: Listener | None = log_event) -> None:
        """Make the instruments.

        Args:
            meter: Creates the instruments; by default the meter ``doorward`` of the global provider, which
                may be set later.
            then: Receives every event afterwards; by default it is logged, as by a cache without a listener
                of its own. None if an event is only counted.
        """
        meter = meter if meter is not None else get_meter("doorward")
        self._then: Final = then
        self._fetches: Final = meter.create_counter(
            "doorward.keys.fetches", "{fetch}", "Fetches of a key set that have finished."
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
            "doorward.keys.unknown_kids", "{token}", "Tokens with a key id that is not held."
        )
        self._state_changes: Final = meter.create_counter(
            "doorward.keys.state_changes", "{change}", "Changes of the observed state of a cache."
        )
        self._refused_sets: Final = meter.create_counter(
            "doorward.keys.refused_sets", "{key_set}", "Key sets that were refused as a whole."
        )
        # Weak: an instrument lives as long as its provider, and must not keep a dropped cache alive.
        self._caches: Final[weakref.WeakSet[KeyCache]] = weakref.WeakSet()
        self._renew_lock()
        renew_in_children(self, KeyMetrics._renew_lock)
        gauges: tuple[tuple[str, Callable[[CallbackOptions], Iterable[Observation]], str, str], ...] = (
            ("doorward.keys.age", self._ages, "s", "Time since the endpoint last confirmed the keys."),
            ("doorward.keys.state", self._states, "1", "1 for the current state of a cache, else 0."),
        )
        for name, callback, unit, description in gauges:
            meter.create_observable_gauge(name, [callback], unit, description)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def observe(self, cache: KeyCache) -> None:
        """Report the age and the state of a cache each time that metrics are collected.

        Args:
            cache: A cache. Observe one cache per endpoint, since two of them would share their time series.
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
                pass  # a fetch that has started is counted when it has finished
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
