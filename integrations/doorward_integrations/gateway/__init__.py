"""Cloud Run's front end on one machine, in front of any HTTP service.

It decides on each request as Cloud Run does, sends the admitted ones to the service, and writes Cloud Run's
access log. Needs the extra ``doorward[gateway]``.
"""

from __future__ import annotations

from doorward.extras import needs_extra

with needs_extra("gateway"):
    import websockets  # noqa: F401 - uvicorn imports it with the first socket, which would be too late

    from doorward_integrations.gateway.gateway import Gateway
    from doorward_integrations.gateway.server import GatewayServer
    from doorward_integrations.gateway.upstream import Upstream

__all__ = ["Gateway", "GatewayServer", "Upstream"]
