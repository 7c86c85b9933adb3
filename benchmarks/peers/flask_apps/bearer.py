"""The function before each request in which users verify its token, with any library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, abort, g, request

__all__ = ["guard"]


def guard(
    app: Flask, verify: Callable[[str], Mapping[str, Any]], refusal: tuple[type[Exception], ...]
) -> None:
    """Verify the bearer token of each request; an error of the refusal types is answered with 401."""

    @app.before_request
    def _verify() -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            abort(401)
        try:
            g.claims = verify(token)
        except refusal:
            abort(401)
