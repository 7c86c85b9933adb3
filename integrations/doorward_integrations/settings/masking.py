"""What is not shown of a setting: the user and the query of a URL, and what looks like a token."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["masked"]

_URL: Final = r"([A-Za-z][A-Za-z0-9+.-]*://)"
_USER: Final = re.compile(rf"{_URL}[^/?#\s'\"]*@")
_QUERY: Final = re.compile(rf"({_URL}[^?\s'\"]*)\?[^\s'\"]*")
# No variable is meant to hold a token, and one that was put there by mistake must not be repeated.
_TOKEN: Final = re.compile(r"\b(eyJ[A-Za-z0-9_-]{5})[A-Za-z0-9_.=-]{12,}")


def masked(text: str) -> str:
    """Return a text without what may be a secret in it.

    Args:
        text: A value, or a sentence that repeats one.
    """
    text = _USER.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1?***", text)
    return _TOKEN.sub(r"\1…", text)
