"""The service in Django under WSGI."""

from __future__ import annotations

from typing import Any

from django.core.wsgi import get_wsgi_application

from doorward import Door
from support.conformance.apps.django_service import blocking, configure, paths

__all__ = ["make"]

urlpatterns = paths(blocking)


def make(door: Door) -> Any:
    """Return the guarded application."""
    configure(door, __name__)
    return get_wsgi_application()
