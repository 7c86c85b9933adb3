"""The docs page of a guarded FastAPI application, which a browser uses as a person does."""

# No `from __future__ import annotations`: FastAPI resolves those in the module, and here they name locals.

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

from fastapi import Depends, FastAPI, WebSocket
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from playwright.sync_api import Locator, Page
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward.door.subprotocol import find_in_subprotocol
from doorward.issuers.google import EMULATOR_VARIABLE
from doorward_integrations.asgi import InvokerMiddleware, principal_of
from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    EmulatedIssuer,
    Emulator,
    RunningEmulator,
    SigningKey,
)
from doorward_integrations.fastapi import InvokerDependency
from support.nodejs import install
from support.servers import asgi_server
from support.tokens import AUDIENCE, rsa_key

__all__ = ["DocsPage", "Site", "site"]

_SWAGGER_UI = Path(__file__).parents[1] / "integrations" / "browser" / "node"
MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"


@dataclass
class Site:
    """A guarded application that is served, and the emulator whose tokens it takes.

    Attributes:
        url: Where it is.
        emulator: The emulator.
    """

    url: str
    emulator: RunningEmulator

    def token(self, **changed: Any) -> str:
        return self.emulator.emulator.issuer.mint(**{"audience": AUDIENCE, **changed})


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Serve an application with a docs page, and the emulator."""
    names = iter(("emulated-0", "emulated-1"))
    emulator = Emulator(EmulatedIssuer(make_key=lambda: SigningKey(rsa_key(next(names)))))
    with emulator.serve() as running:
        with patch.dict(os.environ, {EMULATOR_VARIABLE: running.host}):
            verifier = Verifier(AUDIENCE)
        door = Door(verifier, InvokerPolicy.from_members([MEMBER]), credential=find_in_subprotocol)
        with asgi_server(_application(door)) as url:
            yield Site(url, running)


def _application(door: Door) -> FastAPI:
    """Make the application; its page loads Swagger UI from itself, and not from another machine."""
    app = FastAPI(title="Orders", docs_url=None)
    invoker = InvokerDependency(door)
    invoker.install(app)
    app.mount("/swagger-ui", StaticFiles(directory=install(_SWAGGER_UI) / "node_modules" / "swagger-ui-dist"))

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Orders",
            swagger_js_url="/swagger-ui/swagger-ui-bundle.js",
            swagger_css_url="/swagger-ui/swagger-ui.css",
            swagger_favicon_url="/swagger-ui/favicon-32x32.png",
        )

    @app.get("/orders", summary="List the caller's orders")
    def orders(who: Annotated[Principal, Depends(invoker)]) -> dict[str, str]:
        return {"caller": who.member or "", "orders": "none"}

    @app.websocket("/live")
    async def live(websocket: WebSocket, who: Annotated[Principal, Depends(invoker)]) -> None:
        offered = websocket["subprotocols"]
        own = [one for one in offered if not one.startswith("doorward.bearer")]
        await websocket.accept(subprotocol=own[0] if own else "doorward.bearer")
        await websocket.send_json({"caller": who.member, "offered": offered})
        await websocket.close()

    app.mount("/in-front", InvokerMiddleware(Starlette(routes=[WebSocketRoute("/live", _live)]), door))
    return app


async def _live(websocket: WebSocket) -> None:
    await websocket.accept()  # the middleware in front chooses the protocol
    await websocket.send_json(
        {"caller": principal_of(websocket).member, "offered": websocket["subprotocols"]}
    )
    await websocket.close()


class DocsPage:
    """The docs page in a browser, at its one operation."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(f"{url}/docs")
        page.locator(".opblock-summary-control").click()

    def authorize(self, token: str) -> None:
        """Enter a token in the dialog of the button Authorize."""
        self.page.locator(".scheme-container button.authorize").click()
        dialog = self.page.locator(".modal-ux")
        dialog.locator("input").fill(token)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").first.click()

    def execute(self) -> tuple[str, str]:
        """Send the request, and return the status and the body that the page shows."""
        tried = self.page.get_by_role("button", name="Try it out")
        if tried.is_visible():
            tried.click()
        with self.page.expect_response("**/orders"):
            self.page.get_by_role("button", name="Execute").click()
        shown = self.page.locator(".live-responses-table .response")
        body = shown.locator(".highlight-code").first.inner_text()
        return shown.locator(".response-col_status").inner_text().split()[0], body

    def documented(self) -> dict[str, str]:
        """Return the description of each status that the page shows."""
        rows = self.page.locator(".responses-wrapper .responses-table:not(.live-responses-table) .response")
        return {
            row.get_attribute("data-code") or "": _first_line(row.locator(".response-col_description"))
            for row in rows.all()
        }


def _first_line(shown: Locator) -> str:
    return shown.inner_text().strip().partition("\n")[0]
