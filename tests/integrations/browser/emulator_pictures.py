"""Makes the pictures of the emulator's page that its page in docs/ shows.

Run as ``python tests/integrations/browser/emulator_pictures.py``. Tokens are on them as the page shows them:
their first 12 characters.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS))

from playwright.sync_api import expect  # noqa: E402 - found by the line above

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, RunningEmulator  # noqa: E402
from support.browser import chromium  # noqa: E402 - as above
from support.emulatorpage import EmulatorPage  # noqa: E402 - as above

PICTURES = TESTS.parent / "docs" / "pictures"
REPORTER = "reports@doorward-demo.iam.gserviceaccount.com"
SERVICE = "projects/doorward-demo/locations/europe-west1/services/orders"
QUIET = """
    document.activeElement.blur();
    scrollTo(0, 0);
    for (const one of document.querySelectorAll("textarea")) one.scrollTop = 0;
"""
INVOKER = "roles/run.invoker"


def policy(*accounts: str) -> dict[str, object]:
    return {"bindings": [{"role": INVOKER, "members": [f"serviceAccount:{one}" for one in accounts]}]}


def prepare(running: RunningEmulator) -> None:
    """Have something to show: a few decisions of two services, and a policy."""
    running.emulator.services.set(SERVICE, policy(DEFAULT_ACCOUNT))
    decisions = running.emulator.page.decisions
    refused = {"outcome": "refused", "method": "GET"}
    expired = {
        "status": 401,
        "reason": "expired",
        "message": "the token has expired 12 s ago",
        "path": "/orders/7",
    }
    denied = {
        "status": 403,
        "reason": "permission_denied",
        "message": f"serviceAccount:{REPORTER} does not hold run.routes.invoke",
        "path": "/orders",
    }
    decisions.report({"service": "billing", "decisions": [{"outcome": "admitted"}, refused | expired]})
    decisions.report({"service": "orders", "decisions": [{"outcome": "admitted"}, refused | denied]})


def fill(screen: EmulatorPage, running: RunningEmulator) -> None:
    """Use the page as a person does who looks for the reason of a refusal."""
    screen.mint(DEFAULT_ACCOUNT)
    token = running.emulator.issuer.mint("https://billing.example.com", email=REPORTER)
    screen.explain(token, json.dumps(policy(DEFAULT_ACCOUNT), indent=2))
    row = screen.page.locator("#decisions li").first
    row.get_by_text("why?").click()
    screen.page.get_by_label("Policy", exact=True).fill(json.dumps(policy(REPORTER), indent=1))
    screen.page.get_by_role("button", name="Show the effect").click()
    expect(screen.page.locator("#effect")).to_be_visible()
    screen.page.evaluate(QUIET)


def main() -> None:
    """Make them."""
    PICTURES.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(Emulator(other_accounts=[REPORTER]).serve())
        started = stack.enter_context(chromium())
        prepare(running)
        for name, width, scheme in (
            ("desktop", 1280, "light"),
            ("dark", 1280, "dark"),
            ("phone", 390, "light"),
        ):
            size = {"width": width, "height": 900}
            screen = EmulatorPage(started, running, viewport=size, color_scheme=scheme, device_scale_factor=1)
            fill(screen, running)
            screen.page.screenshot(path=PICTURES / f"emulator-{name}.png", full_page=True)
            screen.close()


if __name__ == "__main__":
    main()
