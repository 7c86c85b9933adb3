"""Requests one by one: who is let in by a server, and who is not; and each token shown to it once."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["REFUSED", "let_in", "visit"]

REFUSED: Final = frozenset({401, 403})


def _ask(connection: http.client.HTTPConnection, token: str | None) -> tuple[int, bytes]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request("GET", "/", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def let_in(port: int, specimens: Mapping[str, str | None], body: bytes) -> list[str]:
    """Find out which tokens a server lets in.

    Args:
        port: Where it listens.
        specimens: Tokens by what they are; None is a request without one.
        body: What it answers those that it lets in, but for blanks and newlines.

    Returns:
        What those are that it lets in.

    Raises:
        RuntimeError: If it answers with anything but success or a refusal.
    """
    passed = []
    for what, token in specimens.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            status, said = _ask(connection, token)
        finally:
            connection.close()
        if status == 200 and b"".join(said.split()) == body:
            passed.append(what)
        elif status not in REFUSED:
            raise RuntimeError(f"{what}: the server answered {status}, {said[:200]!r}")
    return passed


def visit(port: int, tokens: Iterable[str]) -> None:
    """Show a server each of these tokens once, all good."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        for token in tokens:
            status, said = _ask(connection, token)
            if status != 200:
                raise RuntimeError(f"a good token was answered with {status}, {said[:200]!r}")
    finally:
        connection.close()
