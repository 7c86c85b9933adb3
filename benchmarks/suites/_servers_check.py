"""Single requests: which tokens a server admits; and one request with each of many tokens."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["REFUSED", "admitted", "visit"]

REFUSED: Final = frozenset({401, 403})


def _ask(connection: http.client.HTTPConnection, token: str | None) -> tuple[int, bytes]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request("GET", "/", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def admitted(port: int, specimens: Mapping[str, str | None], body: bytes) -> list[str]:
    """Find out which tokens a server admits.

    Args:
        port: The port that it listens on.
        specimens: Tokens by their description; None is a request without a token.
        body: The answer to an admitted request, without blanks and newlines.

    Returns:
        The descriptions of those that it admits.

    Raises:
        RuntimeError: If it answers with anything but success or a refusal.
    """
    found = []
    for what, token in specimens.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            status, answer = _ask(connection, token)
        finally:
            connection.close()
        if status == 200 and b"".join(answer.split()) == body:
            found.append(what)
        elif status not in REFUSED:
            raise RuntimeError(f"{what}: the server answered {status}, {answer[:200]!r}")
    return found


def visit(port: int, tokens: Iterable[str]) -> None:
    """Send a server one request with each of these tokens, which must all be admitted."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        for token in tokens:
            status, answer = _ask(connection, token)
            if status != 200:
                raise RuntimeError(f"a good token was answered with {status}, {answer[:200]!r}")
    finally:
        connection.close()
