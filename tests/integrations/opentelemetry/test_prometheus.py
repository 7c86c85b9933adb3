"""The metrics, as Prometheus scrapes them by the exporter of OpenTelemetry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from doorward import GOOGLE, Door, InvokerPolicy, PlainRequest, WatchedPolicy
from doorward_integrations.opentelemetry import DoorMetrics, KeyMetrics, PolicyMetrics
from support.tokens import MEMBER
from support.world import World

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations" / "metrics.md"


@pytest.fixture
def provider() -> Iterator[MeterProvider]:
    before = set(REGISTRY._collector_to_names)
    provider = MeterProvider([PrometheusMetricReader(disable_target_info=True)], shutdown_on_exit=False)
    yield provider
    provider.shutdown()
    assert before == set(REGISTRY._collector_to_names)


def scraped(registry: CollectorRegistry = REGISTRY) -> list[str]:
    """Scrape over HTTP, as Prometheus does; give the samples of doorward."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        text = httpx.get(f"http://127.0.0.1:{server.server_port}/metrics", trust_env=False).text
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    return [line for line in text.splitlines() if line.startswith("doorward_")]


def test_prometheus_reads_decisions_by_outcome_and_reason(world: World, provider: MeterProvider) -> None:
    meter = provider.get_meter("doorward")
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), listener=DoorMetrics(meter))
    headers = [(b"authorization", b"Bearer " + world.token().encode())]

    for sent in (headers, headers, []):
        door.admit(sent, PlainRequest("/"))

    samples = [line for line in scraped() if line.startswith("doorward_door_decisions_total{")]
    found = {(frozenset(re.findall(r'(\w+)="([^"]+)"', line)), line.rpartition(" ")[2]) for line in samples}
    about = {
        (frozenset({*labels, ("otel_scope_name", "doorward")}), value)
        for labels, value in [
            ([("doorward_outcome", "admitted")], "2.0"),
            (
                [
                    ("doorward_outcome", "refused"),
                    ("doorward_reason", "no_credential"),
                    ("http_response_status_code", "403"),
                ],
                "1.0",
            ),
        ]
    }
    assert about == found


def use_every_instrument(meter: Meter, world: World, path: Path) -> tuple[object, ...]:
    """Have a point in each of them; give what the gauges observe, which they do not keep alive."""
    path.write_text('{"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}')
    door, keys, policies = DoorMetrics(meter), KeyMetrics(meter, then=None), PolicyMetrics(meter, then=None)
    cache, policy = world.cache(GOOGLE, listener=keys), WatchedPolicy(path, listener=policies)
    world.verifier(key_cache=lambda _: cache).verify(world.token())
    keys.observe(cache)
    policies.observe(policy)
    for one in (door, keys, policies):
        for instrument in vars(one).values():
            if isinstance(instrument, Counter):
                instrument.add(1)
            elif isinstance(instrument, Histogram):
                instrument.record(1.0)
    return cache, policy


def test_the_page_has_every_metric_under_the_name_that_prometheus_reads(
    world: World, provider: MeterProvider, tmp_path: Path
) -> None:
    observed = use_every_instrument(provider.get_meter("doorward"), world, tmp_path / "policy.json")

    names = {re.sub(r"_(bucket|sum|count)$", "", line.partition("{")[0]) for line in scraped()}

    rows = re.findall(
        r"^\| `(doorward\.[a-z_.]+)` \| `(doorward_[a-z_]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert names == {prometheus for _, prometheus in rows}
    ends = ("", "_total", "_seconds")
    assert [] == [row for row in rows if row[1] not in [row[0].replace(".", "_") + end for end in ends]]
    assert 2 == len(observed)


def test_what_the_page_runs_is_what_prometheus_reads(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = PAGE.read_text("utf-8")
    block = re.search(r"```python\n(.*?start_http_server.*?)```", text, re.DOTALL)
    assert block is not None
    code = block[1].replace("port=9464", "port=0")
    (tmp_path / "policy.json").write_text('{"bindings": []}')
    monkeypatch.chdir(tmp_path)

    found: dict[str, object] = {
        "environ": {"DOORWARD_AUDIENCE": "https://a", "DOORWARD_POLICY": "policy.json"}
    }
    before = set(REGISTRY._collector_to_names)
    exec(code.replace("settings(", "settings(environ, "), found)
    try:
        door = found["door"]
        assert isinstance(door, Door)
        door.admit([], PlainRequest("/"))
        assert any("no_credential" in line for line in scraped())
    finally:
        provider, server, thread = found["provider"], found["server"], found["thread"]
        provider.shutdown()  # type: ignore[attr-defined]
        server.shutdown()  # type: ignore[attr-defined]
        server.server_close()  # type: ignore[attr-defined]
        thread.join(10)  # type: ignore[attr-defined]
        for one in set(REGISTRY._collector_to_names) - before:
            REGISTRY.unregister(one)
