"""Cloud Run's front end on one machine, in front of any HTTP service.

It decides on each request as Cloud Run does, sends the admitted ones to the service, and writes Cloud Run's
access log. Needs the extra: ``pip install 'doorward[gateway]'``.
"""

from __future__ import annotations

from doorward import ConfigurationError

try:
    from doorward_integrations.gateway.gateway import Gateway
    from doorward_integrations.gateway.server import GatewayServer
    from doorward_integrations.gateway.upstream import Upstream
except ModuleNotFoundError as error:
    if error.name not in {"aiohttp", "httptools", "multidict", "uvicorn", "yarl"}:
        raise
    raise ConfigurationError(f"the gateway needs {error.name}: pip install 'doorward[gateway]'") from None

__all__ = ["Gateway", "GatewayServer", "Upstream"]
