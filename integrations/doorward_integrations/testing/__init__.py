"""The test kit: callers, real tokens and hostile requests for tests of an application behind a door.

::

    def test_the_caller_gets_in(client):
        with as_principal(client, "sa@my-project.iam.gserviceaccount.com"):
            assert client.get("/orders").status_code == 200

It needs no network, no waiting, and no change to the application. It works while a test of pytest or unittest
runs, and refuses everywhere else. pytest finds its plugin by itself, with the fixture ``doorward_issuer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from doorward_integrations.testing.assertions import assert_admitted, assert_refused, watching
    from doorward_integrations.testing.caller import as_principal
    from doorward_integrations.testing.hostile import Attack, attack_all, hostile_requests
    from doorward_integrations.testing.issuer import MemoryIssuer
    from doorward_integrations.testing.shapes import principal

__all__ = [
    "Attack",
    "MemoryIssuer",
    "as_principal",
    "assert_admitted",
    "assert_refused",
    "attack_all",
    "hostile_requests",
    "principal",
    "watching",
]

# pytest imports its plugin, which stands in this package, in every project: all else waits until it is used.
_HERE = "doorward_integrations.testing"
_LATER = {
    "Attack": f"{_HERE}.hostile",
    "MemoryIssuer": f"{_HERE}.issuer",
    "as_principal": f"{_HERE}.caller",
    "assert_admitted": f"{_HERE}.assertions",
    "assert_refused": f"{_HERE}.assertions",
    "attack_all": f"{_HERE}.hostile",
    "hostile_requests": f"{_HERE}.hostile",
    "principal": f"{_HERE}.shapes",
    "watching": f"{_HERE}.assertions",
}


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - when it is needed

    found: object = getattr(import_module(_LATER[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
