"""What doors report to the emulator, and what it keeps of that."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from doorward import Door, InvokerPolicy, PlainRequest, Verifier
from doorward.door.events import Decided
from doorward.errors import ConfigurationError
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.emulator.decisions import Decisions, EmulatorListener
from doorward_integrations.emulator.interface import CONTROL_HEADER
from support.clock import ManualClock

AUDIENCE = "https://orders.example.com"
REFUSED = {
    "outcome": "refused",
    "status": 401,
    "reason": "expired",
    "message": "too late",
    "method": "GET",
    "path": "/a",
}


def test_a_door_that_opts_in_reports_what_it_decides_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = Emulator()
    with emulator.serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        reports = EmulatorListener("orders")
        policy = InvokerPolicy.from_members([f"serviceAccount:{DEFAULT_ACCOUNT}"])
        door = Door(Verifier(AUDIENCE), policy, listener=reports, log=reports.log)
        token = emulator.issuer.mint(AUDIENCE)
        door.admit([(b"authorization", b"Bearer " + token.encode())], PlainRequest("/a"))
        door.admit([], PlainRequest("/b"))
        assert reports.flush()
        found = emulator.page.decisions.since(0)

    assert [("orders", "admitted", None), ("orders", "refused", "no_credential")] == [
        (one["service"], one["outcome"], one["reason"]) for one in found
    ]
    assert ("GET", "/b", 403) == tuple(found[1][name] for name in ("method", "path", "status"))
    assert found[1]["advice"]
    assert token[:20] not in str(found)


def test_without_its_log_a_refusal_is_reported_once_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = Emulator()
    with emulator.serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        reports = EmulatorListener("orders")
        Door(Verifier(AUDIENCE), InvokerPolicy.from_members([]), listener=reports).admit([])
        assert reports.flush()

    assert ["no_credential"] == [one["reason"] for one in emulator.page.decisions.since(0)]


def test_without_the_variable_nothing_is_reported() -> None:
    reports = EmulatorListener("orders", environ={})

    reports(Decided("admitted"))
    assert "reports=False" in repr(reports)
    assert reports.flush(0)


def test_on_cloud_run_the_variable_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is set on Cloud Run"):
        EmulatorListener(
            "orders", environ={"DOORWARD_EMULATOR_HOST": "127.0.0.1:8099", "K_SERVICE": "orders"}
        )


def test_reports_go_to_this_machine_only() -> None:
    with pytest.raises(ConfigurationError, match="of this machine"):
        EmulatorListener("orders", environ={"DOORWARD_EMULATOR_HOST": "collector.example.com:80"})


def test_an_emulator_that_is_away_costs_a_door_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Emulator().serve() as running:
        host = running.host
    reports = EmulatorListener("orders", environ={"DOORWARD_EMULATOR_HOST": host})
    with caplog.at_level(logging.WARNING, logger="doorward.emulator"):
        for _ in range(3_000):
            reports(Decided("admitted"))
        assert reports.flush(20)

    assert 1 == len([one for one in caplog.records if "do not reach the emulator" in one.getMessage()])


def test_the_emulator_keeps_the_last_two_hundred(clock: ManualClock) -> None:
    decisions = Decisions(clock)
    for _ in range(3):
        decisions.report({"service": "orders", "decisions": [{"outcome": "admitted"}] * 100})

    found = decisions.since(0)
    assert (200, 101, 300) == (len(found), found[0]["number"], found[-1]["number"])
    assert [300] == [one["number"] for one in decisions.since(299)]


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"service": "orders"},
        {"service": 7, "decisions": []},
        {"service": "orders", "decisions": [7]},
        {"service": "orders", "decisions": [{"outcome": "<b>"}]},
        {"service": "orders", "decisions": [{**REFUSED, "reason": "made_up"}]},
        {"service": "orders", "decisions": [{**REFUSED, "status": "401"}]},
        {"service": "orders", "decisions": [{**REFUSED, "message": 7}]},
        {"service": "orders", "decisions": [{"outcome": "admitted"}] * 101},
    ],
)
def test_what_is_no_report_is_refused_whole(report: dict[str, Any], client: httpx.Client) -> None:
    answer = client.post("/doorward/v1/decisions", json=report, headers={CONTROL_HEADER: "1"})

    assert 400 == answer.status_code
    assert {"decisions": []} == client.get("/doorward/v1/decisions", headers={CONTROL_HEADER: "1"}).json()


def test_what_is_reported_is_clipped_and_has_no_hidden_characters(client: httpx.Client) -> None:
    hostile = {**REFUSED, "path": "/\u202e" + "a" * 10_000, "message": "\x00"}
    client.post(
        "/doorward/v1/decisions",
        json={"service": "s" * 10_000, "decisions": [hostile]},
        headers={CONTROL_HEADER: "1"},
    )

    (kept,) = client.get("/doorward/v1/decisions", headers={CONTROL_HEADER: "1"}).json()["decisions"]
    assert len(str(kept)) < 2_000
    assert "\u202e" not in str(kept)
    assert "\x00" not in str(kept)
