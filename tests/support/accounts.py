"""An emulator with accounts that may act as one another, on a clock moved by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from doorward_integrations.emulator import EmulatedIssuer, Emulator, SigningKey
from doorward_integrations.emulator.identities.file import parse_identities
from support.clock import ManualClock
from support.tokens import rsa_key

DOMAIN = "orders-demo.iam.gserviceaccount.com"
SHOP = f"shop@{DOMAIN}"
MIDDLE = f"middle@{DOMAIN}"
LAST = f"last@{DOMAIN}"
ORDERS = f"orders@{DOMAIN}"

CREATOR = "roles/iam.serviceAccountTokenCreator"
ID_CREATOR = "roles/iam.serviceAccountOpenIdTokenCreator"

DOCUMENT = {
    "project": "orders-demo",
    "service_accounts": {
        SHOP: None,
        MIDDLE: {"bindings": [{"role": CREATOR, "members": [f"serviceAccount:{SHOP}"]}]},
        LAST: {"bindings": [{"role": CREATOR, "members": [f"serviceAccount:{MIDDLE}"]}]},
        ORDERS: {
            "unique_id": "104200000000000000001",
            "bindings": [
                {"role": CREATOR, "members": [f"serviceAccount:{LAST}"]},
                {"role": ID_CREATOR, "members": ["group:developers@example.com"]},
            ],
        },
    },
    "users": {"jane@example.com": {"hosted_domain": "example.com"}},
    "groups": {"developers@example.com": ["user:jane@example.com"]},
}


def keys_of_tests(clock: Callable[[], float], prefix: str = "emulated") -> Callable[[], SigningKey]:
    """Return what makes signing keys: those of the tests, which are shared, since making one is slow."""
    names = (f"{prefix}-{number}" for number in itertools.count())
    return lambda: SigningKey(rsa_key(next(names)), clock=clock)


def orders_emulator(clock: ManualClock) -> Emulator:
    """Return an emulator of the project that has the accounts."""
    identities = parse_identities(DOCUMENT)
    return Emulator(EmulatedIssuer(clock=clock, make_key=keys_of_tests(clock)), identities=identities)
