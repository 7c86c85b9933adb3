"""The readings of a path: every path by which the application behind the door could route a request.

A path arrives encoded and is decoded by the server. Each router, static file handler and proxy may then
resolve dot segments (RFC 3986, section 5.2.4), merge empty segments, treat a backslash as a slash, remove
path parameters, or remove a root path (ASGI ``root_path``, WSGI ``SCRIPT_NAME``). A decision that depends
on the path must be the same for all of these readings. Nearly all paths have one reading, and cost one
search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from doorward.errors import ConfigurationError

__all__ = ["check_public_prefix", "readings_of"]

_MORE: Final = re.compile(r"//|/\.|[\\%;]")
_PARAMETERS: Final = re.compile(r";[^/]*")
_NEEDLESS: Final = re.compile(
    # Bytes beyond ASCII; - . and the digits; A to O, P to Z and _, twice for both cases, and ~.
    "(?:%(?:[89A-F][0-9A-F]|2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E))+",
    re.IGNORECASE,
)
_EMPTY: Final = re.compile(r"//+")


def check_public_prefix(prefix: str) -> str:
    """Check that a public prefix is the beginning of a path.

    Args:
        prefix: The setting of an adapter.

    Returns:
        The same prefix.

    Raises:
        ConfigurationError: If it is neither empty nor a path from its ``/`` on.
    """
    if not isinstance(prefix, str) or (
        prefix and (not prefix.startswith("/") or readings_of(prefix) != (prefix,))
    ):
        raise ConfigurationError(f"public_prefix={prefix!r} must be a plain path, such as '/api', or empty")
    return prefix


def readings_of(
    path: str, sent: str = "", roots: Iterable[str] = (), public_prefix: str = ""
) -> tuple[str, ...]:
    """Return the readings of a path.

    Args:
        path: The whole path, percent-decoded, without the query, as the server passes it.
        sent: The path as sent, still encoded; empty if it is not known.
        roots: The root paths that may be removed from it, or have been: each gives a reading with it and one
            without it.
        public_prefix: The prefix that a proxy in front removes from the path that conditions name; every
            reading then begins with it.

    Returns:
        The readings, each once, the whole decoded path first; empty if the path cannot be read, because it is
        not Unicode text.
    """
    if not path.isascii() and not _is_unicode(path):
        return ()
    roots = [bare for root in roots if (bare := root.rstrip("/"))]
    public_prefix = public_prefix.rstrip("/")
    if not roots and not public_prefix and "%" not in sent and _MORE.search(path) is None:
        return (path,)
    written = _written(path, sent)
    if public_prefix:
        return _under_prefix(written, public_prefix)
    found = dict.fromkeys(reading for form in written for reading in _resolved(form))
    for root in roots:
        for reading in list(found):
            found[_with(root, reading)] = None
            if reading == root or reading.startswith(f"{root}/"):
                found.update(dict.fromkeys(_resolved(reading.removeprefix(root) or "/")))
    return tuple(found)


def _written(path: str, sent: str) -> list[str]:
    """Return the forms of a path: decoded, as sent, and decoded once more by a proxy behind."""
    found = [path]
    # An encoded letter is the letter to every reader (RFC 3986, section 6.2.2.2); an encoded slash is not.
    if "%" in sent and _is_unicode(sent := _plainly_encoded(sent)) and sent != path:
        found.append(sent)
    if "%" in path and _is_unicode(again := unquote(path)):
        found.append(again)
    return found


def _under_prefix(written: list[str], prefix: str) -> tuple[str, ...]:
    """Return the readings if a proxy removes a prefix: resolved by the proxy, or by the application."""
    found = dict.fromkeys(_with(prefix, form) for form in written)
    for path in list(found):
        inner = _resolved(path.removeprefix(prefix) or "/")
        found.update(dict.fromkeys(_resolved(path)))
        found.update(dict.fromkeys(prefix + reading for reading in inner if path != prefix))
    return tuple(found)


def _plainly_encoded(sent: str) -> str:
    """Decode what need not be encoded: unreserved characters, and text beyond ASCII."""
    return _NEEDLESS.sub(lambda run: unquote(run[0], errors="surrogateescape"), sent)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _with(root: str, path: str) -> str:
    """Return a path under a root; unchanged if it is under it already."""
    return path if path == root or path.startswith(f"{root}/") else root + path


def _resolved(path: str) -> list[str]:
    """Return a path as resolved in each order in which some router, file handler or proxy resolves it."""
    found = [path]
    if _MORE.search(path) is None:
        return found
    for slashed in (path, path.replace("\\", "/")):
        for bare in (slashed, _PARAMETERS.sub("", slashed)):
            merged = _EMPTY.sub("/", bare)
            dotless = _without_dots(bare)
            found += [bare, merged, dotless, _without_dots(merged), _EMPTY.sub("/", dotless)]
    return found


def _without_dots(path: str) -> str:
    """Return a path without its dot segments (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments[1:] if path.startswith("/") else segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", "..") and (not kept or kept[-1]):
        kept.append("")
    return "/" + "/".join(kept)
