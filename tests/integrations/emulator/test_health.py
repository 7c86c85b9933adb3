"""Where the emulator says that it is there."""

from __future__ import annotations

import os

import httpx

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.emulator.interface import HEALTH_PATH


def test_it_says_that_it_is_there_and_for_whom_it_issues_tokens(
    client: httpx.Client, emulator: Emulator
) -> None:
    answer = client.get(HEALTH_PATH)
    said = answer.json()

    assert "no-store" == answer.headers["cache-control"]
    assert ("ok", "doorward", os.getpid()) == (said["status"], said["emulator"], said["pid"])
    assert DEFAULT_ACCOUNT == said["account"]
    assert [one.email for one in emulator.accounts] == said["accounts"]
