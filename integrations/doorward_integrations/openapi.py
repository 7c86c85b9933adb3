"""The refusals of a door in the OpenAPI document of a FastAPI application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from doorward import CredentialError, KeysUnavailableError, PermissionDeniedError, Reason, RefusedError
from doorward.door.base import BaseDoor

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["document_refusals", "refusal_responses"]

_REFUSALS: Final[tuple[tuple[RefusedError, str, dict[str, str]], ...]] = (
    (
        CredentialError(Reason.MALFORMED, "as an example"),
        "The ID token is not good.",
        {"WWW-Authenticate": "The challenge of the scheme Bearer."},
    ),
    (PermissionDeniedError("as an example"), "No ID token, or its holder may not call this.", {}),
    (
        KeysUnavailableError("as an example"),
        "Whether the ID token is good, or its holder may call this, cannot be found out now.",
        {"Retry-After": "Seconds after which to ask again."},
    ),
)


def refusal_responses(door: BaseDoor) -> dict[int | str, dict[str, Any]]:
    """Describe how a door refuses, as OpenAPI does (https://spec.openapis.org/oas/v3.1.0#responses-object).

    Args:
        door: The door, whose style says what an answer contains.

    Returns:
        The responses by status.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for error, description, headers in _REFUSALS:
        refusal = door.style(error, "/")
        response: dict[str, Any] = {"description": description}
        content_type = dict(refusal.headers).get(b"content-type")
        if content_type is not None:
            media = content_type.partition(b";")[0].decode("latin-1")
            response["content"] = {media: {"schema": {"type": "object" if "json" in media else "string"}}}
        sent = {name.decode("latin-1").lower() for name, _ in refusal.headers}
        described = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
            if name.lower() in sent
        }
        found[refusal.status] = response | ({"headers": described} if described else {})
    return found


def document_refusals(
    app: FastAPI, scheme_name: str, responses: Mapping[int | str, Mapping[str, Any]]
) -> None:
    """Add the refusals to every operation of an application that a security scheme guards.

    What the application itself documents for a status stays.

    Args:
        app: The application.
        scheme_name: The name of the scheme in the document.
        responses: What `refusal_responses` returned.
    """
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()  # FastAPI keeps it, and what is added stays
        for path in document.get("paths", {}).values():
            for operation in path.values():
                if any(scheme_name in one for one in _security_of(operation)):
                    for status, response in responses.items():
                        operation.setdefault("responses", {}).setdefault(str(status), dict(response))
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it


def _security_of(operation: object) -> list[dict[str, Any]]:
    return operation.get("security", []) if isinstance(operation, dict) else []
