"""Headers that carry one more which no copy has: neither a redirected request nor a ``repr``.

httpx and httpx2 make the headers of a redirected request by ``Headers(request.headers)``, and drop
``Authorization`` alone where the origin is another one. Transports read ``raw``.
"""

from __future__ import annotations

from typing import Any, Final

from doorward.errors import ConfigurationError

__all__ = ["carrying", "check_headers_class"]

_made: Final[dict[type[Any], type[Any]]] = {}
_checked: Final[set[type[Any]]] = set()


def carrying(headers_class: type[Any], headers: Any, name: str, value: str) -> Any:  # noqa: ANN401 - of either library
    """Copy headers, and carry one more.

    Args:
        headers_class: ``httpx.Headers`` or ``httpx2.Headers``.
        headers: What is copied.
        name: The name of the header that is carried, which the others do not have.
        value: Its value.

    Returns:
        The headers: they are sent with that header, and it can be read by its name.
    """
    made = _made.get(headers_class) or _made.setdefault(headers_class, _make_class(headers_class))
    return made(headers, name, value)


def check_headers_class(headers_class: type[Any]) -> None:
    """Refuse a version of httpx whose copies would have the header.

    Args:
        headers_class: ``httpx.Headers`` or ``httpx2.Headers``.

    Raises:
        ConfigurationError: If a redirected request would carry the token anywhere.
    """
    if headers_class in _checked:
        return
    if not _is_left_out(headers_class):
        raise ConfigurationError(
            f"this version of {headers_class.__module__} copies headers in another way, so that a "
            "redirect could take a token to another origin: use a newer doorward, or an older version of it"
        )

    _checked.add(headers_class)


def _is_left_out(headers_class: type[Any]) -> bool:
    one = carrying(headers_class, headers_class({"a": "b"}), "x-carried", "secret")
    copies = headers_class(one), one.copy(), headers_class(headers_class(one))
    sent = (b"x-carried", b"secret") in one.raw and one["x-carried"] == "secret"
    return sent and all("x-carried" not in copy and copy.raw == [(b"a", b"b")] for copy in copies)


def _make_class(headers_class: type[Any]) -> type[Any]:
    base: Any = headers_class

    class CarryingHeaders(base):  # type: ignore[misc]
        def __init__(self, headers: Any, name: str, value: str) -> None:  # noqa: ANN401
            super().__init__(headers)
            self._carried = (name.lower(), value)

        @property
        def raw(self) -> list[tuple[bytes, bytes]]:
            name, value = self._carried
            return [*super().raw, (name.encode(), value.encode())]

        def __getitem__(self, key: str) -> str:
            name, value = self._carried
            found: str = value if key.lower() == name else super().__getitem__(key)
            return found

        def __contains__(self, key: object) -> bool:
            name, _ = self._carried
            return (isinstance(key, str) and key.lower() == name) or super().__contains__(key)

    return CarryingHeaders
