"""The service in Django under ASGI."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application

from doorward import Door
from support.conformance.apps.django_service import asynchronous, configure, paths

__all__ = ["make"]

urlpatterns = paths(asynchronous)


def make(door: Door) -> Any:
    """Return the guarded application."""
    configure(door, __name__)
    return get_asgi_application()
