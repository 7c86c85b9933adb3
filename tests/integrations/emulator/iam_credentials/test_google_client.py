"""Google's own client for Python, unmodified: impersonation with a key file as its source."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import google.auth.exceptions
import pytest

from doorward_integrations.emulator import Emulator, RunningEmulator
from doorward_integrations.emulator.accounts import CLOUD_PLATFORM
from support.accounts import LAST, MIDDLE, ORDERS, SHOP, orders_emulator
from support.clock import ManualClock
from support.googleclients import impersonated_credentials, refresh, service_account


@pytest.fixture
def emulator() -> Emulator:
    """Return an emulator at the time of the system's clock, which Google's client uses too."""
    return orders_emulator(ManualClock(time.time()))


@pytest.fixture
def running(emulator: Emulator) -> Iterator[RunningEmulator]:
    """Serve the emulator."""
    with emulator.serve() as running:
        yield running


def impersonated(running: RunningEmulator, delegates: list[str]) -> Any:
    """Return credentials of the orders account, whose source is the shop's key file."""
    source = service_account.Credentials.from_service_account_info(
        running.key_file(SHOP), scopes=[CLOUD_PLATFORM]
    )
    url = f"{running.url}/v1/projects/-/serviceAccounts/{ORDERS}:generateAccessToken"
    return impersonated_credentials.Credentials(
        source, ORDERS, ["a"], delegates, lifetime=300, iam_endpoint_override=url
    )


def test_an_access_token_is_got_through_delegates(running: RunningEmulator) -> None:
    token = refresh(impersonated(running, [MIDDLE, LAST]))
    grant = running.emulator.access_tokens.find(token)

    assert grant is not None
    assert (ORDERS, ("a",), 300) == (
        grant.account.email,
        grant.scopes,
        grant.expires_at - grant.issued_at,
    )


def test_the_client_reports_that_it_was_denied(running: RunningEmulator) -> None:
    credentials = impersonated(running, [MIDDLE])

    with pytest.raises(google.auth.exceptions.RefreshError, match=r"iam\.serviceAccounts\.getAccessToken"):
        refresh(credentials)
