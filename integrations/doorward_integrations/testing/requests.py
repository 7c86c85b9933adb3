"""How each known client sends one request with any headers, doubled ones included."""

from __future__ import annotations

from typing import Any

from doorward import ConfigurationError
from doorward_integrations.testing.clients import kind_of

__all__ = ["send"]


def send(client: Any, method: str, path: str, headers: list[tuple[str, str]]) -> Any:  # noqa: ANN401 - of any library
    """Send a request.

    Args:
        client: The client.
        method: The method.
        path: The path.
        headers: The headers, in their order.

    Returns:
        The response, or what to await for it.

    Raises:
        ConfigurationError: If it is no client that is known.
    """
    kind = kind_of(client)
    if kind == "flask":
        return client.open(path, method=method, headers=headers)
    if kind == "django":
        return client.generic(method, path, headers=_joined(headers))
    if kind == "headers" and hasattr(client, "request"):
        plain = type(client).__module__.startswith("requests.")
        return client.request(method, path, headers=_joined(headers) if plain else headers)
    raise ConfigurationError(
        f"{type(client).__name__} is no client that is known: give a function that takes headers and returns "
        "the response"
    )


def _joined(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Join repeated headers with a comma, as servers do (RFC 9110, section 5.3)."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
