"""What the table says of a row, and what a server answered, in one form that can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, unquote_to_bytes

from doorward import Reason
from doorward.door.refusal import cloud_run
from doorward.errors import CredentialError, KeysUnavailableError, RefusedError
from support.conformance.answers import SHOWN
from support.conformance.clients import Got
from support.conformance.table import Row

__all__ = ["Outcome", "expected", "headers_of", "outcome"]

Outcome = tuple[int, bytes, dict[str, str]]
"""Status, body, and those headers that the table fixes; no body where it is the framework's own."""

_COMPARED = ("content-type", "content-length", "www-authenticate")
_REFUSED: dict[int, RefusedError] = {
    401: CredentialError(Reason.MALFORMED, "unauthorized"),
    403: CredentialError(Reason.NO_CREDENTIAL, "forbidden"),
    503: KeysUnavailableError("unavailable"),
}


def headers_of(row: Row, tokens: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers of a row, with the tokens in them."""
    split = (line.partition(":") for line in row.headers)
    return [(name, value.strip().format_map(tokens)) for name, _, value in split]


def expected(row: Row, tokens: Mapping[str, str], *, decoded: bool = False) -> Outcome:
    """Return what the table says.

    Args:
        row: The row.
        tokens: The tokens by name.
        decoded: Whether the server gives the decoded path alone.
    """
    if (error := _REFUSED.get(row.status)) is not None:
        path = row.target.partition("?")[0]
        refusal = cloud_run(error, quote(unquote_to_bytes(path)) if decoded else path)
        headers = {name.decode(): value.decode() for name, value in refusal.headers}
        return outcome(row, Got(row.status, headers, b"" if row.method == "HEAD" else refusal.body))
    if row.seen is None or row.method == "HEAD":
        return row.status, b"", {}
    if row.status == 101:
        return 101, row.seen["caller"].encode(), {}
    sent = row.body if isinstance(row.body, str) else "".join(row.body)
    seen = {name: value.format_map(tokens) for name, value in row.seen.items()}
    whole = {"handler": "orders", "method": row.method, "body": sent, **seen}
    order = ("handler", "caller", "method", *SHOWN, "body")
    return row.status, json.dumps({name: whole[name] for name in order if name in whole}).encode(), {}


def outcome(row: Row, got: Got) -> Outcome:
    """Return what a server answered, as far as the table fixes it."""
    if got.status not in _REFUSED:
        return got.status, b"" if row.seen is None else got.body, {}
    headers = {name: got.headers[name] for name in _COMPARED if name in got.headers}
    if "retry-after" in got.headers:  # its value is the time that is left
        headers["retry-after"] = "seconds" if got.headers["retry-after"].isdigit() else "no number"
    return got.status, got.body, headers
