"""What every adapter sends of a refusal."""

from __future__ import annotations

from doorward import Refusal

__all__ = ["body_of", "headers_beside_content", "text_headers"]


def body_of(refusal: Refusal, method: str) -> bytes:
    """Return the body with which a request of that method is refused.

    A ``HEAD`` is answered with the headers of a ``GET``, its Content-Length included, and without content
    (RFC 9110, section 9.3.2). Servers differ in what they do with content that an application sends all the
    same: most remove it, and some break the connection.

    Args:
        refusal: The refusal, whose headers are sent as they are.
        method: The method of the request.

    Returns:
        The body; empty for a ``HEAD``.
    """
    return b"" if method == "HEAD" else refusal.body


def headers_beside_content(refusal: Refusal) -> dict[str, str]:
    """Return the headers of a refusal for an adapter whose framework makes the body, or has none.

    Args:
        refusal: The refusal.

    Returns:
        Its headers, without those that describe its body.
    """
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in refusal.headers
        if not name.startswith(b"content-")
    }


def text_headers(refusal: Refusal) -> list[tuple[str, str]]:
    """Return the headers of a refusal as text whose characters stand for single bytes (PEP 3333).

    Args:
        refusal: The refusal.
    """
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in refusal.headers]
