"""Every issuer of one emulator."""

from __future__ import annotations

import pytest

from doorward_integrations.emulator import EmulatedIssuer, RotationSchedule
from doorward_integrations.emulator.issuers.every import EveryIssuer
from support.clock import ManualClock


@pytest.mark.parametrize("name", ["iap", "oidc https://partner.test"])
def test_the_keys_of_every_issuer_rotate_by_the_schedule(name: str, clock: ManualClock) -> None:
    issuers = EveryIssuer(EmulatedIssuer(clock=clock), rotation=RotationSchedule(every=60, overlap=0))
    issuers.oidc("partner")
    ring = issuers.rings()[name]
    first = ring.current.kid
    clock.move(59)
    assert first == ring.current.kid
    clock.move(1)
    assert first not in [key.kid for key in ring.keys]


def test_the_signer_of_a_service_account_rotates_by_the_schedule(clock: ManualClock) -> None:
    issuers = EveryIssuer(EmulatedIssuer(clock=clock), rotation=RotationSchedule(every=60, overlap=0))
    signer = issuers.self_signed("robot@doorward-demo.iam.gserviceaccount.com")
    first = signer.current.kid
    clock.move(60)

    assert first != signer.current.kid
