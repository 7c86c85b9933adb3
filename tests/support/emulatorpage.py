"""The emulator's page in a real browser, as a person uses it."""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Browser, Dialog, Page, Request, expect

from doorward_integrations.emulator import RunningEmulator

__all__ = ["AUDIENCE", "EmulatorPage"]

AUDIENCE: Final = "https://orders-1234567890.europe-west1.run.app"


class EmulatorPage:
    """One page, and everything that it did besides what it was asked for.

    Attributes:
        page: The page.
        elsewhere: Addresses that it asked for and that are not the emulator's.
        faults: Errors of its scripts, what the content policy has stopped, and dialogs that it opened.
    """

    def __init__(self, browser: Browser, running: RunningEmulator, **settings: object) -> None:
        self.context = browser.new_context(**settings)  # type: ignore[arg-type]  # settings by name
        self.context.set_default_timeout(30_000)
        self.page: Page = self.context.new_page()
        self.elsewhere: list[str] = []
        self.faults: list[str] = []
        self._url = running.url
        self.page.on("request", self._asked)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        self.page.goto(f"{running.url}/")
        expect(self.page.locator("#identities li").first).to_be_visible()

    def close(self) -> None:
        self.context.close()

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(f"{self._url}/"):
            self.elsewhere.append(request.url)

    def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def mint(self, email: str | None = None, audience: str = AUDIENCE) -> str:
        """Mint a token, and return what is shown of it."""
        if email is not None:
            self.page.get_by_label("Identity").fill(email)
        self.page.get_by_label("Audience", exact=True).fill(audience)
        self.page.get_by_role("button", name="Mint", exact=True).click()
        shown = self.page.locator("#minted-token")
        expect(shown).to_be_visible()
        return shown.inner_text()

    def explain(self, token: str, policy: str = "", audience: str = AUDIENCE) -> str:
        """Paste a token and a policy, and return the verdict."""
        again = self.page.get_by_role("button", name="Paste another")
        if again.is_visible():
            again.click()
        self.page.get_by_label("Token", exact=True).fill(token)
        self.page.get_by_label("Audience of the service").fill(audience)
        self.page.get_by_label("Policy, as gcloud prints it in JSON").fill(policy)
        self.page.get_by_role("button", name="Explain", exact=True).click()
        expect(self.page.locator("#verdict")).to_be_visible()
        return self.page.locator("#verdict").inner_text()

    @property
    def checks(self) -> dict[str, str]:
        """The checks of the token that was explained, by name."""
        rows = self.page.locator("#checks tr").all()
        return {row.locator("th").inner_text(): row.locator("td.mark").inner_text() for row in rows}

    @property
    def problem(self) -> str:
        """What the page says is wrong."""
        expect(self.page.locator("#problem")).to_be_visible()
        return self.page.locator("#problem").inner_text()
