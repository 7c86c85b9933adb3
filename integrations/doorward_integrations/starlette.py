"""The door in Starlette: the ASGI middleware, and the caller of a request.

::

    app = Starlette(routes=..., middleware=[Middleware(InvokerMiddleware, door=door)])


    async def endpoint(request):
        return PlainTextResponse(f"Hello, {principal_of(request)}")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward import Admission, ConfigurationError, Principal
from doorward_integrations.asgi import ADMISSION, InvokerMiddleware

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["InvokerMiddleware", "principal_of"]


def principal_of(connection: HTTPConnection) -> Principal:
    """Give the caller of a request that came through `InvokerMiddleware`.

    Args:
        connection: A request or a websocket.

    Returns:
        The verified principal; the anonymous one where the policy admits everybody.

    Raises:
        ConfigurationError: If no middleware stands in front, so that nobody has checked anything.
    """
    admission = connection.scope.get(ADMISSION)
    if not isinstance(admission, Admission):
        raise ConfigurationError(
            "this request came past no door: add InvokerMiddleware(app, door) in front of the application"
        )
    return admission.principal
