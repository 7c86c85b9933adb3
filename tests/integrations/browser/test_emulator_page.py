"""The emulator's page in headless Chromium: what a person does there, and what hostile text does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, RunningEmulator
from support.emulatorpage import AUDIENCE, EmulatorPage

SERVICE = "projects/shop/locations/europe-west1/services/orders"
MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"
OTHER = "other@shop.iam.gserviceaccount.com"
POLICY = json.dumps({"bindings": [{"role": "roles/run.invoker", "members": [MEMBER]}]})
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    '"><svg onload=alert(1)>',
    "\u202eabc\u2066\u200f",
    "{{constructor.constructor('alert(1)')()}}",
    "https://evil.example/\u0000",
)


@pytest.fixture
def running() -> Iterator[RunningEmulator]:
    """Serve an emulator."""
    with Emulator().serve() as running:
        yield running


@pytest.fixture
def screen(browser: Browser, running: RunningEmulator) -> Iterator[EmulatorPage]:
    """Open its page, which asks for nothing elsewhere and makes no fault."""
    screen = EmulatorPage(browser, running)
    yield screen
    screen.close()
    assert ([], []) == (screen.elsewhere, screen.faults)


def test_a_minted_token_is_shown_shortened_and_copied_whole(
    browser: Browser, running: RunningEmulator
) -> None:
    screen = EmulatorPage(browser, running, permissions=["clipboard-read", "clipboard-write"])
    shown = screen.mint()
    screen.page.get_by_role("button", name="Copy").click()
    expect(screen.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = screen.page.evaluate("navigator.clipboard.readText()")
    screen.close()

    assert 3 == len(copied.split("."))
    assert f"{copied[:12]}… {len(copied)} characters" == shown


def test_a_minted_token_is_explained_at_a_click(screen: EmulatorPage) -> None:
    screen.page.get_by_label("Policy, as gcloud prints it in JSON").fill(POLICY)
    screen.mint()
    screen.page.get_by_role("button", name="Explain it").click()
    expect(screen.page.locator("#verdict")).to_contain_text("Admitted")

    assert {"✓ passed"} == set(screen.checks.values())
    expect(screen.page.locator("#decided")).to_contain_text("roles/run.invoker")


def test_a_pasted_token_is_explained_with_every_failed_check(
    screen: EmulatorPage, running: RunningEmulator
) -> None:
    token = running.emulator.issuer.mint("https://elsewhere.example.com", lifetime=-100)

    assert screen.explain(token, POLICY).startswith("401")
    assert 2 <= list(screen.checks.values()).count("✗ failed")
    assert token not in screen.page.content()


def test_a_caller_whom_the_policy_does_not_name_is_a_403_with_advice(
    screen: EmulatorPage, running: RunningEmulator
) -> None:
    verdict = screen.explain(running.emulator.issuer.mint(AUDIENCE, email=OTHER), POLICY)

    assert verdict.startswith("403")
    assert OTHER in verdict
    assert "null" not in verdict


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_token_or_policy_runs_nothing_and_is_shown_as_text(
    text: str, screen: EmulatorPage, running: RunningEmulator
) -> None:
    screen.explain(text)
    claims = {"email": f"{text}@evil.example", "aud": text, text: text}
    screen.explain(running.emulator.issuer.mint("a", claims=claims, header={"kid": text}))
    named = {
        "role": "roles/run.invoker",
        "members": [MEMBER],
        "condition": {"title": text, "expression": "true"},
    }
    screen.explain(running.emulator.issuer.mint(AUDIENCE), json.dumps({"bindings": [named]}))
    assert not screen.faults

    shown = screen.page.locator("#explained").inner_text() + screen.page.locator("#explain-held").inner_text()
    assert not set("\u202e\u2066\u200f\u0000") & set(shown)
    assert 0 == screen.page.locator("#explained script, #explained img, #explained svg, #explained a").count()


@pytest.mark.parametrize("policy", ["<script>alert(1)</script>", '{"bindings": 7}', "[" * 10_000])
def test_a_policy_that_cannot_be_used_is_said_in_one_place(
    policy: str, browser: Browser, running: RunningEmulator
) -> None:
    screen = EmulatorPage(browser, running)
    screen.page.get_by_label("Token", exact=True).fill("x")
    screen.page.get_by_label("Audience of the service").fill(AUDIENCE)
    screen.page.get_by_label("Policy, as gcloud prints it in JSON").fill(policy)
    screen.page.get_by_role("button", name="Explain", exact=True).click()

    assert screen.problem.startswith("The policy cannot be used")
    assert [] == screen.elsewhere
    screen.close()


def test_keys_are_rotated_and_withdrawn(screen: EmulatorPage, running: RunningEmulator) -> None:
    first = running.emulator.issuer.current.kid
    expect(screen.page.locator("#keys")).to_contain_text(first[:16])

    screen.page.get_by_role("button", name="Rotate", exact=True).click()
    expect(screen.page.locator("#rotated")).to_contain_text("still published")
    expect(screen.page.locator("#keys li").first).not_to_contain_text(first[:16])
    expect(screen.page.locator("#keys")).to_contain_text(first[:16])

    screen.page.get_by_role("button", name="Rotate, and withdraw the old key").click()
    expect(screen.page.locator("#rotated")).to_contain_text("published no longer")
    expect(screen.page.locator("#keys")).not_to_contain_text(first[:16])


def test_a_policy_is_saved_only_once_its_effect_was_shown(
    screen: EmulatorPage, running: RunningEmulator
) -> None:
    page = screen.page
    page.get_by_label("Service", exact=True).fill(SERVICE)
    page.get_by_role("button", name="Load").click()
    expect(page.get_by_label("Policy", exact=True)).to_have_value(re.compile("ACAB"))
    save = page.get_by_role("button", name="Save")
    page.get_by_label("Policy", exact=True).fill(POLICY)
    expect(save).to_be_disabled()

    page.get_by_role("button", name="Show the effect").click()
    expect(page.locator("#effect")).to_contain_text("Gains: 1")
    expect(page.locator("#effect")).to_contain_text(DEFAULT_ACCOUNT)
    assert {"etag": "ACAB"} == running.emulator.services.get(SERVICE)

    page.get_by_label("Policy", exact=True).press("End")
    page.keyboard.type(" ")
    expect(save).to_be_disabled()
    page.get_by_role("button", name="Show the effect").click()
    save.click()
    expect(page.locator("#policy-note")).to_contain_text("Saved")
    assert json.loads(POLICY)["bindings"] == running.emulator.services.get(SERVICE)["bindings"]


def test_decisions_of_doors_appear_by_themselves_and_say_why(
    screen: EmulatorPage, running: RunningEmulator
) -> None:
    refused = {
        "outcome": "refused",
        "status": 401,
        "reason": "expired",
        "message": "<b>too late</b>",
        "method": "GET",
        "path": "/<img src=x onerror=alert(1)>",
    }
    running.emulator.page.decisions.report(
        {"service": "<script>alert(1)</script>", "decisions": [{"outcome": "admitted"}, refused]}
    )

    row = screen.page.locator("#decisions li").first
    expect(row).to_contain_text("401 expired")
    expect(row).to_contain_text("<script>alert(1)</script>")
    row.get_by_text("why?").click()
    expect(row).to_contain_text("<b>too late</b>")


def test_everything_can_be_done_from_the_keyboard(screen: EmulatorPage) -> None:
    page = screen.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the explanation")).to_be_focused()
    page.get_by_label("Identity").focus()
    page.keyboard.press("Tab")
    page.keyboard.type(AUDIENCE)
    page.keyboard.press("Enter")
    expect(page.locator("#minted-token")).to_be_visible()
    for name in ("Mint", "Copy", "Explain it"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(width: int, browser: Browser, running: RunningEmulator) -> None:
    screen = EmulatorPage(browser, running, viewport={"width": width, "height": 844})
    screen.explain(running.emulator.issuer.mint("https://" + "a" * 300 + ".example", email=OTHER), POLICY)

    assert screen.page.evaluate("document.documentElement.scrollWidth") <= width
    screen.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_in_dark(
    scheme: str, browser: Browser, running: RunningEmulator
) -> None:
    screen = EmulatorPage(browser, running, color_scheme=scheme)
    screen.explain(running.emulator.issuer.mint("https://elsewhere.example.com"), POLICY)
    ratios = screen.page.evaluate(CONTRASTS)
    screen.close()

    assert {} == {text: ratio for text, ratio in ratios.items() if ratio < 4.5}


# WCAG 2.2, success criterion 1.4.3: the contrast of each text with the nearest ground behind it.
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[0-9.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const found = {};
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.checkVisibility() || one.disabled) continue;
    let ground = one;
    while (ground && parse(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const [a, b] = [getComputedStyle(one).color, getComputedStyle(ground ?? document.body).backgroundColor]
      .map((text) => light(parse(text))).sort((x, y) => y - x);
    found[`${one.tagName} ${one.textContent.trim().slice(0, 40)}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""
