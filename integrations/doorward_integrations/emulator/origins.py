"""Which requests a web page of another site has sent: those are refused, whatever they ask for.

A browser lets a page send requests to any loopback port; it only keeps the answers from it. It says where a
request comes from in ``Origin`` and ``Sec-Fetch-Site`` (https://www.w3.org/TR/fetch-metadata/), which no page
can change.
"""

from __future__ import annotations

from starlette.datastructures import Headers

__all__ = ["is_of_another_site"]


def is_of_another_site(headers: Headers) -> bool:
    """Return whether a page of another origin has sent a request; False for clients that are no browser.

    Args:
        headers: The headers of the request, one ``Host`` among them.
    """
    if any(site not in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
        return True
    own = f"http://{headers.get('host', '')}".lower()
    return any(origin.lower() != own for origin in headers.getlist("origin"))
