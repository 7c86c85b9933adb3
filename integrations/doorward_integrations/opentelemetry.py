"""Metrics of OpenTelemetry about what a door decides, and what its key caches and watched policies do.

::

    door = Door(verifier, policy, listener=DoorMetrics())

    metrics = KeyMetrics()
    cache = KeyCache(GOOGLE.key_url, listener=metrics)
    metrics.observe(cache)
    verifier = Verifier(audience, key_cache=lambda issuer: cache)

    metrics = PolicyMetrics()
    policy = WatchedPolicy("policy.json", listener=metrics)
    metrics.observe(policy)

Only the API of OpenTelemetry is needed, which the extra ``doorward[otel]`` installs. The application installs
the SDK; without one nothing is recorded. Attributes name the endpoint as the semantic conventions do
(``server.address``, ``server.port``, ``url.path``, ``error.type``), and a policy by its ``file.path``;
doorward's own begin with ``doorward.``.
No attribute holds what a caller has sent, so that no caller can create time series.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

from doorward import ConfigurationError, KeyCache, WatchedPolicy
from doorward.door.events import Decided, DoorListener
from doorward.forks import renew_in_children
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
from doorward.keys.state import KeyState
from doorward.policy.watching.events import LookFinished, PolicyEvent, PolicyListener, log_policy_event

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ConfigurationError("metrics need opentelemetry-api: pip install 'doorward[otel]'") from None

__all__ = ["DoorMetrics", "KeyMetrics", "PolicyMetrics"]

Attributes = Mapping[str, str | int]
S = TypeVar("S", KeyCache, WatchedPolicy)

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


class _Observed(Generic[S]):
    """What gauges report on. An instrument lives as long as its provider, and must not keep it alive."""

    def __init__(self, meter: Meter, prefix: str, describe: Callable[[S], Attributes], age: str) -> None:
        self._describe: Final[Callable[[S], Attributes]] = describe
        self._sources: Final[weakref.WeakSet[S]] = weakref.WeakSet()
        self._renew_lock()
        renew_in_children(self, _Observed._renew_lock)
        meter.create_observable_gauge(f"{prefix}.age", [self._ages], "s", age)
        meter.create_observable_gauge(
            f"{prefix}.state", [self._states], "1", "1 for the current state, 0 for the others."
        )

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def add(self, source: S) -> None:
        with self._lock:
            self._sources.add(source)

    def __iter__(self) -> Iterator[S]:
        with self._lock:
            return iter(list(self._sources))

    def _ages(self, _: CallbackOptions) -> Iterable[Observation]:
        for source in self:
            if (age := source.age) is not None:
                yield Observation(age, self._describe(source))

    def _states(self, _: CallbackOptions) -> Iterable[Observation]:
        for source in self:
            now = source.state
            for state in KeyState:
                yield Observation(
                    int(state is now), {**self._describe(source), "doorward.state": state.value}
                )


def _state_change(before: KeyState, after: KeyState) -> Attributes:
    return {"doorward.before": before.value, "doorward.after": after.value}


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
        self._caches: Final[_Observed[KeyCache]] = _Observed(
            meter,
            "doorward.keys",
            lambda cache: _endpoint(cache.url),
            "Time since the endpoint last confirmed the keys.",
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
            yield Observation(cache.health()["hanging"], _endpoint(cache.url))

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
                self._state_changes.add(1, {**endpoint, **_state_change(event.before, event.after)})
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


class PolicyMetrics:
    """A listener of watched policies that counts their events.

    Counters: ``doorward.policy.looks`` by ``doorward.outcome`` (and ``error.type``, the stage of the failure,
    see `doorward.policy.watching.events.LookFinished`), and ``doorward.policy.state_changes`` by
    ``doorward.before`` and ``doorward.after``. Gauges, for each policy given to `observe`:
    ``doorward.policy.age``, in seconds, and ``doorward.policy.state``, 1 for the current ``doorward.state``
    and 0 for the others.
    """

    def __init__(self, meter: Meter | None = None, *, then: PolicyListener | None = log_policy_event) -> None:
        """Make the instruments.

        Args:
            meter: As for `KeyMetrics`.
            then: Receives every event afterwards; by default it is logged, as by a policy without a listener
                of its own. None if an event is only counted.
        """
        meter = meter if meter is not None else get_meter("doorward")
        self._then: Final = then
        self._looks: Final = meter.create_counter(
            "doorward.policy.looks", "{look}", "Looks at a policy file that have finished."
        )
        self._state_changes: Final = meter.create_counter(
            "doorward.policy.state_changes", "{change}", "Changes of the observed state of a policy."
        )
        self._policies: Final[_Observed[WatchedPolicy]] = _Observed(
            meter,
            "doorward.policy",
            lambda policy: {"file.path": str(policy.path)},
            "Time since the file was last seen to hold the policy.",
        )

    def observe(self, policy: WatchedPolicy) -> None:
        """Report the age and the state of a policy each time that metrics are collected.

        Args:
            policy: A policy. Observe one for each file, since two of them would share their time series.
        """
        self._policies.add(policy)

    def __call__(self, event: PolicyEvent) -> None:
        """Count an event, and pass it on.

        Args:
            event: What happened.
        """
        about = {"file.path": event.path}
        if isinstance(event, LookFinished):
            about["doorward.outcome"] = event.outcome
            if event.stage is not None:
                about["error.type"] = event.stage
            self._looks.add(1, about)
        else:
            self._state_changes.add(1, {**about, **_state_change(event.before, event.after)})
        if self._then is not None:
            self._then(event)
