"""One value of a metadata server, with the header by which such a server and its clients know each other.

From https://cloud.google.com/compute/docs/metadata/querying-metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doorward.errors import FetchError
from doorward.keys.http.reader import HttpReader, require_ok

__all__ = ["read_metadata"]

_FLAVOR: Final = "Google"


def read_metadata(reader: HttpReader, url: str) -> str:
    """Read a value.

    Args:
        reader: Reads it, within its bounds on time and size.
        url: The URL of the value.

    Returns:
        The value.

    Raises:
        FetchError: If there is no usable answer, or what answers is no metadata server.
    """
    body, _ = reader.get(url, {"metadata-flavor": _FLAVOR}, _check_head)
    try:
        return (body or b"").decode("ascii")
    except UnicodeDecodeError:
        raise FetchError("content", "the answer is not ASCII") from None


def _check_head(status: int, headers: Mapping[str, str]) -> bool:
    require_ok(status, headers)
    if headers.get("metadata-flavor") != _FLAVOR:
        raise FetchError("content", "what answers is no metadata server: Metadata-Flavor is missing")
    return True
