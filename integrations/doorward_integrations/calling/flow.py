"""What happens to one request: which token it gets, and whether it is sent again.

The flow is one generator for httpx and httpx2, blocking or not. It yields a `Need` and is sent a token, or
yields a request and is sent the response; `IdTokenAuth` drives it in both ways.

Redirects are followed inside of the client, which asks no auth about them: it copies the headers of a
request, and drops ``Authorization`` where the origin is another one. What else must not travel is carried by
headers that a copy does not have (`carried`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from http import HTTPStatus
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar, cast

from doorward.errors import ConfigurationError
from doorward.shown import quoted
from doorward_integrations.calling.carried import carrying, check_headers_class
from doorward_integrations.calling.origins import Destinations, Origin
from doorward_integrations.calling.tokens import IdTokens, tokens_of

__all__ = ["AUTHORIZATION", "SERVERLESS", "IdTokenAuth", "check_header"]

AUTHORIZATION: Final = "Authorization"
SERVERLESS: Final = "X-Serverless-Authorization"
"""Cloud Run takes this one before the other, and leaves the other to the application
(https://cloud.google.com/run/docs/authenticating/service-to-service)."""

_PLAIN_PORT: Final = 80
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class _Request(Protocol):
    url: Any
    headers: Any
    stream: Any
    extensions: Any


class _Response(Protocol):
    status_code: int
    history: Any

    @property
    def request(self) -> Any: ...  # noqa: ANN401 - of either library


_RequestT = TypeVar("_RequestT", bound=_Request)
_ResponseT = TypeVar("_ResponseT", bound=_Response)


class Need(NamedTuple):
    """A token that the flow needs.

    Attributes:
        audience: Whom it is made for.
        refused: A token that was refused, of which another one is needed; None at first.
    """

    audience: str
    refused: str | None = None


def check_header(header: str) -> str:
    """Refuse a header that Cloud Run takes no token from.

    Args:
        header: The name of the header.

    Returns:
        The name.

    Raises:
        ConfigurationError: If it is another one.
    """
    if header not in (AUTHORIZATION, SERVERLESS):
        raise ConfigurationError(f"header={quoted(header)} must be {AUTHORIZATION!r} or {SERVERLESS!r}")
    return header


class IdTokenAuth(Generic[_RequestT, _ResponseT]):
    """Puts ID tokens on requests: what the auth classes of httpx and httpx2 are made of."""

    _headers_class: ClassVar[type[Any]]
    _byte_stream_class: ClassVar[type[Any]]

    def __init__(
        self,
        audience: str | None = None,
        *,
        origins: str | Iterable[str] = (),
        header: str = AUTHORIZATION,
        tokens: IdTokens | None = None,
    ) -> None:
        """Say whom the tokens are made for, and where they may be sent; nothing is fetched yet.

        Args:
            audience: Whom the tokens are made for. None to send each host of ``run.app`` a token for that
                host; other hosts then get an error.
            origins: The origins (scheme, host and port) that get the tokens: ``https``, or ``http`` on this
                machine. By default the origin of the audience, where that is an ``https`` URL.
            header: ``Authorization``; or ``X-Serverless-Authorization``, for requests that have an
                ``Authorization`` of their own.
            tokens: The cache; by default that of the process, `shared_tokens`.

        Raises:
            ConfigurationError: If a setting cannot work, or what fetches tokens is missing.
        """
        self._destinations: Final = Destinations(
            audience, origins, call=f'{type(self).__name__}("https://SERVICE-NUMBER.REGION.run.app")'
        )
        self._header: Final = check_header(header)
        self._tokens: Final = tokens_of(tokens)
        check_headers_class(self._headers_class)

    def sync_auth_flow(self, request: _RequestT) -> Generator[_RequestT, _ResponseT, None]:
        """Send a request with a token; called by the client.

        Args:
            request: The request, which is left as it is: a copy is sent.

        Yields:
            What is sent.

        Raises:
            IdTokenError: If there is no token; nothing was sent.
            ConfigurationError: If no token may be sent with this request; nothing was sent.
        """
        flow = self._flow(request)
        step = next(flow)
        while True:
            try:
                if isinstance(step, Need):
                    step = flow.send(self._token(step))
                else:
                    response = yield step
                    step = flow.send(response)
            except StopIteration:
                return

    async def async_auth_flow(self, request: _RequestT) -> AsyncGenerator[_RequestT, _ResponseT]:
        """As `sync_auth_flow`, in the running event loop.

        Args:
            request: The request, which is left as it is: a copy is sent.

        Yields:
            What is sent.

        Raises:
            IdTokenError: If there is no token; nothing was sent.
            ConfigurationError: If no token may be sent with this request; nothing was sent.
        """
        flow = self._flow(request)
        step = next(flow)
        while True:
            try:
                if isinstance(step, Need):
                    step = flow.send(await self._atoken(step))
                else:
                    response = yield step
                    step = flow.send(response)
            except StopIteration:
                return

    def _token(self, need: Need) -> str | None:
        if need.refused is None:
            return self._tokens.get(need.audience)
        return self._tokens.replace(need.audience, need.refused)

    async def _atoken(self, need: Need) -> str | None:
        if need.refused is None:
            return await self._tokens.aget(need.audience)
        return await self._tokens.areplace(need.audience, need.refused)

    def _flow(self, request: _RequestT) -> Generator[Need | _RequestT, str | _ResponseT | None, None]:
        audience = self._destinations.audience_for(_origin_of(request))
        self._check_own_headers(request)
        token = cast("str", (yield Need(audience)))
        response = cast("_ResponseT", (yield self._carrying(request, token)))
        if response.status_code not in _REFUSED or not self._stayed(response, audience):
            return
        answered: _RequestT = response.request
        if self._header not in answered.headers:
            # Redirected within the origins of the audience, by a client that has left the token behind.
            if self._can_be_sent_again(answered):
                yield self._carrying(answered, token)
        elif response.status_code == HTTPStatus.UNAUTHORIZED and self._can_be_sent_again(request):
            other = cast("str | None", (yield Need(audience, refused=token)))
            if other is not None:
                yield self._carrying(request, other)

    def _check_own_headers(self, request: _RequestT) -> None:
        """Refuse to override a header of the caller's, or to be overridden by one."""
        if SERVERLESS in request.headers:
            raise ConfigurationError(
                f"the request has an {SERVERLESS} header of its own, which Cloud Run would take for the "
                "token: send it without that header, or without this auth"
            )
        if self._header in request.headers:
            raise ConfigurationError(
                "the request has an Authorization header of its own, which is not replaced: "
                f"{type(self).__name__}(..., header={SERVERLESS!r}) sends the ID token beside it"
            )

    def _stayed(self, response: _ResponseT, audience: str) -> bool:
        """Return whether every hop of a response was at an origin of the audience."""
        hops = [response, *response.history]
        return all(self._destinations.covers(_origin_of(hop.request), audience) for hop in hops)

    def _can_be_sent_again(self, request: _RequestT) -> bool:
        # Of no other stream is it known that it gives the same bytes a second time.
        return isinstance(request.stream, self._byte_stream_class)

    def _carrying(self, request: _RequestT, token: str) -> _RequestT:
        """Copy a request with a token on it. The caller's own may be sent again, and logged."""
        sent = object.__new__(type(request))
        vars(sent).update(vars(request))  # copy.copy would leave out the body, as pickle does
        value = f"Bearer {token}"
        origin = _origin_of(request)
        # The client drops this header at another origin, but for https on port 443 after http on port 80.
        if self._header == AUTHORIZATION and (origin.scheme, origin.port) != ("http", _PLAIN_PORT):
            sent.headers = self._headers_class(request.headers)
            sent.headers[self._header] = value
        else:
            sent.headers = carrying(self._headers_class, request.headers, self._header, value)
        return sent


def _origin_of(request: Any) -> Origin:  # noqa: ANN401 - a request of either library
    url = request.url
    scheme = url.scheme
    host = url.raw_host.decode("ascii", "replace").lower()
    port = url.port or (443 if scheme == "https" else _PLAIN_PORT)
    return Origin(scheme, f"[{host}]" if ":" in host else host, port)
