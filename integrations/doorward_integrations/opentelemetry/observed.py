"""What the metrics share: attributes, and gauges that do not keep alive what they observe."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

from doorward import KeyCache, WatchedPolicy
from doorward.extras import needs_extra
from doorward.forks import renew_in_children
from doorward.keys.state import KeyState

with needs_extra("otel"):
    from opentelemetry.metrics import CallbackOptions, Meter, Observation

__all__ = ["SECONDS", "Attributes", "Observed", "endpoint_of", "state_change"]

Attributes = Mapping[str, str | int]
S = TypeVar("S", KeyCache, WatchedPolicy)

# The buckets that the conventions advise for ``http.client.request.duration``. Those of the SDK are for
# milliseconds.
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PORTS: Final = {"http": 80, "https": 443}


@functools.lru_cache(maxsize=64)
def endpoint_of(url: str) -> Attributes:
    """Return the attributes of a key endpoint, without its query, which might hold an API key.

    Args:
        url: The endpoint.
    """
    parts = urlsplit(url)
    return MappingProxyType(
        {
            "server.address": parts.hostname or "",
            "server.port": parts.port or _PORTS[parts.scheme],
            "url.path": parts.path,
        }
    )


class Observed(Generic[S]):
    """What gauges report on. An instrument lives as long as its provider, and must not keep it alive."""

    def __init__(
        self, meter: Meter, prefix: str, describe: Callable[[S], Attributes], age: str, unit: str
    ) -> None:
        """Make the gauges ``PREFIX.age`` and ``PREFIX.state``.

        Args:
            meter: Creates them.
            prefix: The beginning of their names.
            describe: Gives the attributes of a source.
            age: What the age is, in one sentence.
            unit: The unit of the state: sources are counted.
        """
        self._describe: Final[Callable[[S], Attributes]] = describe
        self._sources: Final[weakref.WeakSet[S]] = weakref.WeakSet()
        self._renew_lock()
        renew_in_children(self, Observed._renew_lock)
        meter.create_observable_gauge(f"{prefix}.age", [self._ages], "s", age)
        meter.create_observable_gauge(
            f"{prefix}.state", [self._states], unit, "1 for the current state, 0 for the others."
        )

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def add(self, source: S) -> None:
        """Report on a source from now on.

        Args:
            source: A key cache or a watched policy.
        """
        with self._lock:
            self._sources.add(source)

    def __iter__(self) -> Iterator[S]:
        """Go through the sources that are still alive."""
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


def state_change(before: KeyState, after: KeyState) -> Attributes:
    """Return the attributes of a change of state.

    Args:
        before: The state until then.
        after: The state since then.
    """
    return {"doorward.before": before.value, "doorward.after": after.value}
