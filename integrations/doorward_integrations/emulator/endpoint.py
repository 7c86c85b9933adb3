"""The interface of one part of the emulator: an object that has routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.routing import BaseRoute

__all__ = ["Endpoint"]


class Endpoint(Protocol):
    """A part of the emulator that answers requests; one that serves further paths has this one method."""

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of this part.

        `create_app` reads them once. What may change while the emulator serves is read by the handlers of the
        routes.

        Returns:
            Starlette routes, with the paths that they have at Google's host.
        """
        ...
