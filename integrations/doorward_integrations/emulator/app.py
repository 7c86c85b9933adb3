"""The emulator as one ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

if TYPE_CHECKING:
    from doorward_integrations.emulator.emulator import Emulator

__all__ = ["create_app"]


def create_app(emulator: Emulator) -> Starlette:
    """Put the key endpoints and the metadata server of an emulator into one application.

    Args:
        emulator: The emulator; its switches and accounts may be changed while the application serves.

    Returns:
        The application, for any ASGI server or for a test client.
    """
    return Starlette(routes=[*emulator.certs.routes(), *emulator.metadata.routes()])
