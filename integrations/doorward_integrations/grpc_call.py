"""A call of gRPC in the form of a door, the context of an admitted one, and the status of a refused one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from doorward import Admission, PlainRequest, Refusal
from doorward.door.base import BaseDoor
from doorward.extras import needs_extra
from doorward_integrations.admission import ADMISSION, DOOR
from doorward_integrations.refusal import headers_beside_content

with needs_extra("grpc"):
    import grpc

__all__ = ["CODES", "FACTS", "METHOD", "Call", "Context", "Metadatum", "status_of"]

METHOD: Final = "POST"
CODES: Final = {
    401: (grpc.StatusCode.UNAUTHENTICATED, "the access token could not be verified"),
    403: (grpc.StatusCode.PERMISSION_DENIED, "the client does not have permission to call this method"),
    404: (grpc.StatusCode.UNIMPLEMENTED, "there is no such service here"),
    503: (grpc.StatusCode.UNAVAILABLE, "the credential cannot be checked now; please try again later"),
}
"""As gRPC clients read these statuses of an HTTP front end, too
(https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md)."""

FACTS: Final = "doorward.facts"
"""The key of what is known of a call, beside its admission and its door."""


class Metadatum(NamedTuple):
    """One of the metadata of a call, as gRPC gives them."""

    key: str
    value: str | bytes


class Call:
    """A call in the form of a door: its metadata are the headers of an HTTP/2 request."""

    __slots__ = ("facts", "headers")

    def __init__(self, details: grpc.HandlerCallDetails) -> None:
        """Read method and metadata of a call."""
        self.headers: Final = [
            (key.encode(), value if isinstance(value, bytes) else value.encode())
            for key, value in details.invocation_metadata or ()
        ]
        self.facts: Final = PlainRequest(path=details.method, method=METHOD)

    def admitted_at_once(self, door: BaseDoor) -> Admission | None:
        """Return the admission of a token that was admitted before; else None."""
        return door.admit_cached(self.headers, METHOD, self.facts.path)


class Context:
    """Stands for the context of an admitted call, whose metadata it gives without the signature.

    Attributes:
        scope: Carries the admission, its door and what is known of the call.
    """

    scope: Mapping[str, Any]

    def __init__(
        self,
        context: Any,  # noqa: ANN401 - one of three classes
        admission: Admission,
        door: BaseDoor,
        facts: PlainRequest,
    ) -> None:
        """Stand for the context of a call that a door has admitted."""
        self._context = context
        self._metadata = tuple(
            Metadatum(name.decode(), value if name.endswith(b"-bin") else value.decode())
            for name, value in admission.headers
        )
        self.scope = MappingProxyType({ADMISSION: admission, DOOR: door, FACTS: facts})

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """Return the metadata that the door passes on."""
        return self._metadata

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401, D105 - whatever the context has
        return getattr(self._context, name)

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> type:
            """The class that it stands for, so that isinstance sees that one."""
            return type(self._context)


def status_of(refusal: Refusal) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Return code, details and trailing metadata; a status of an own style is a refusal all the same."""
    code, details = CODES.get(refusal.status, CODES[403])
    return code, details, tuple(headers_beside_content(refusal).items())
