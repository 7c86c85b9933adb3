"""OpenTelemetry: what a door decides, as metrics and on spans, and what key caches and watched policies do.

::

    door = Door(verifier, policy, listener=DoorSpans(then=DoorMetrics()))

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
No attribute of a metric holds what a caller has sent, so that no caller can create time series.
"""

from __future__ import annotations

from doorward_integrations.opentelemetry.door import DoorMetrics, DoorSpans
from doorward_integrations.opentelemetry.keys import KeyMetrics
from doorward_integrations.opentelemetry.policies import PolicyMetrics

__all__ = ["DoorMetrics", "DoorSpans", "KeyMetrics", "PolicyMetrics"]
