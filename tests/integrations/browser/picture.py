"""Makes the picture of FastAPI's docs page that its page in docs/ shows.

Run as ``python tests/integrations/browser/picture.py``. The picture has no token: the command line that
Swagger UI shows for each request, which repeats it, is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS))

from support.browser import chromium  # noqa: E402 - found by the line above
from support.docspage import DocsPage, site  # noqa: E402 - as above

PICTURE = TESTS.parent / "docs" / "pictures" / "fastapi-docs.png"
LEFT_OUT = """
    .scheme-container, .schemes { padding: 4px 0 !important; margin: 0; box-shadow: none !important; }
    .curl-command, .request-url, .download-contents, .copy-to-clipboard, pre:has(.headerline),
    .servers, .models, .opblock-tag, .opblock-section, .live-responses-table .response-col_description h5,
    .response-controls, .model-example, .response-col_links { display: none !important; }
"""


def main() -> None:
    """Make it."""
    with site() as served, chromium() as running:
        page = running.new_page(viewport={"width": 900, "height": 1400}, device_scale_factor=1.5)
        docs = DocsPage(page, served.url)
        docs.authorize(served.token())
        status, _ = docs.execute()
        assert status == "200", status
        page.add_style_tag(content=LEFT_OUT)
        page.mouse.move(0, 0)
        top = page.locator(".scheme-container").bounding_box()
        block = page.locator(".opblock").bounding_box()
        assert top is not None
        assert block is not None
        PICTURE.parent.mkdir(exist_ok=True)
        height = block["y"] + block["height"] - top["y"] + 8
        page.screenshot(path=PICTURE, clip={"x": 0, "y": top["y"], "width": 900, "height": height})


if __name__ == "__main__":
    main()
