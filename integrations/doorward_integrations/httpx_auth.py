"""ID tokens on the requests that httpx and httpx2 send: one class for each, since neither takes the other's.

::

    auth = HttpxAuth("https://orders-1234567890.europe-west1.run.app")
    client = httpx.AsyncClient(base_url="https://orders-1234567890.europe-west1.run.app", auth=auth)

Tokens come from google-auth, which the extra ``doorward[calling]`` installs, or from the emulator. Each
class, and its library, is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from doorward_integrations.calling.for_httpx import HttpxAuth
    from doorward_integrations.calling.for_httpx2 import Httpx2Auth

__all__ = ["Httpx2Auth", "HttpxAuth"]

_CLASSES = {"HttpxAuth": "for_httpx", "Httpx2Auth": "for_httpx2"}


def __getattr__(name: str) -> object:
    """Import a class when it is first asked for (PEP 562)."""
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"doorward_integrations.calling.{_CLASSES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
