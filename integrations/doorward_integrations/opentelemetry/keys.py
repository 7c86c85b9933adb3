"""What key caches do, as metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from doorward import KeyCache
from doorward.extras import needs_extra
from doorward.keys.events import (
    FetchFinished,
    KeyEvent,
    Listener,
    SetRefused,
    SnapshotTaken,
    StaleUsed,
    StateChanged,
    UnknownKid,
    WaitRefused,
    log_event,
)
from doorward_integrations.opentelemetry.observed import SECONDS, Observed, endpoint_of, state_change

with needs_extra("otel"):
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

__all__ = ["KeyMetrics"]


class KeyMetrics:
    """A listener of key caches that counts their events.

    Counters: ``doorward.keys.fetches`` by ``doorward.outcome`` and ``doorward.trigger`` (and ``error.type``,
    the stage of the `doorward.FetchError`), ``doorward.keys.stale_uses``, ``doorward.keys.unknown_kids`` by
    ``doorward.outcome``, ``doorward.keys.state_changes`` by ``doorward.before`` and ``doorward.after``, and
    ``doorward.keys.refused_sets`` by ``error.type``, ``doorward.keys.snapshots_taken`` by
    ``doorward.trigger``, and ``doorward.keys.refused_waits``. Histogram: ``doorward.keys.fetch.duration``, in
    seconds, with the attributes of the fetches. Gauges, for each cache given to `observe`:
    ``doorward.keys.age``, in seconds, ``doorward.keys.state``, 1 for the current ``doorward.state`` and 0
    for the others, and ``doorward.keys.hanging``, the fetches that were given up and have not ended.
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
            explicit_bucket_boundaries_advisory=SECONDS,
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
        self._caches: Final[Observed[KeyCache]] = Observed(
            meter,
            "doorward.keys",
            lambda cache: endpoint_of(cache.url),
            "Time since the endpoint last confirmed the keys.",
            "{key_cache}",
        )
        self._count_processes(meter)

    def _count_processes(self, meter: Meter) -> None:
        self._snapshots_taken = meter.create_counter(
            "doorward.keys.snapshots_taken", "{snapshot}", "Key sets taken from another process."
        )
        self._refused_waits = meter.create_counter(
            "doorward.keys.refused_waits", "{request}", "Requests that did not wait for the first keys."
        )
        meter.create_observable_gauge(
            "doorward.keys.hanging", [self._hanging], "{fetch}", "Fetches given up that have not ended."
        )

    def _hanging(self, _: CallbackOptions) -> Iterable[Observation]:
        for cache in self._caches:
            yield Observation(cache.health()["hanging"], endpoint_of(cache.url))

    def observe(self, cache: KeyCache) -> None:
        """Report the age and the state of a cache each time that metrics are collected.

        Args:
            cache: A cache. Observe one cache per endpoint, since two of them would share their time series.
        """
        self._caches.add(cache)

    def __call__(self, event: KeyEvent) -> None:
        """Count an event, and pass it on.

        Args:
            event: What happened.
        """
        endpoint = endpoint_of(event.url)
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
                self._state_changes.add(1, {**endpoint, **state_change(event.before, event.after)})
            case SetRefused():
                self._refused_sets.add(1, {**endpoint, "error.type": event.error.stage})
            case SnapshotTaken():
                self._snapshots_taken.add(1, {**endpoint, "doorward.trigger": event.trigger})
            case WaitRefused():
                self._refused_waits.add(1, endpoint)
            case _:
                pass  # a fetch is counted when it has finished; those that hang are a gauge
        if self._then is not None:
            self._then(event)
