"""One server for many tests: each sets the application that it serves."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Stage:
    """Serves the application that a test sets: one server for all tests, since each stop takes time."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert self.app is not None, "a request came between two tests"
            await self.app(scope, receive, send)
