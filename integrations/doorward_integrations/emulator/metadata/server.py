"""The metadata server, as far as Google's clients use it.

Paths, parameters and answers are those of https://cloud.google.com/compute/docs/metadata and
https://cloud.google.com/compute/docs/instances/verifying-instance-identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from doorward_integrations.emulator.accounts import Account, Accounts
from doorward_integrations.emulator.bodies import read_json
from doorward_integrations.emulator.google_errors import GoogleError
from doorward_integrations.emulator.identities.model import Identities
from doorward_integrations.emulator.instance import Instance
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.metadata.changes import Changes, TooManyWaiting
from doorward_integrations.emulator.metadata.flavor import (
    FLAVOR,
    FLAVOR_HEADER,
    RequireFlavor,
    refuse_forwarded,
)
from doorward_integrations.emulator.metadata.machine import Machine
from doorward_integrations.emulator.metadata.tree import (
    MINTED,
    Node,
    as_json,
    as_text,
    etag_of,
    is_directory,
    listed,
    walk,
)
from doorward_integrations.emulator.oauth.access_tokens import AccessTokens

__all__ = ["MetadataServer"]

_PREFIX: Final = "/computeMetadata"
_ACCOUNT: Final = "/v1/instance/service-accounts/{account}"
_TOKEN_SECONDS: Final = 3_599
_FORMATS: Final = ("standard", "full")
_TEXT: Final = "application/text"
_NOT_FOUND: Final = "The requested URL was not found on this server."
_LONGEST_WAIT_DIGITS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataServer:
    """Answers the requests that google-auth and Google's other clients send to a metadata server.

    Attributes:
        issuer: Mints the ID tokens.
        identities: The project, and what is known of the accounts.
        accounts: The service accounts of the machine.
        access_tokens: Issues the access tokens.
        region: The region of the machine, unless `instance` says it.
        instance: The Compute Engine machine that is emulated; None for an instance on Cloud Run.
        changes: Wakes the requests that wait for a change.
    """

    issuer: EmulatedIssuer
    identities: Identities = field(default_factory=Identities)
    accounts: Accounts = field(default_factory=Accounts)
    access_tokens: AccessTokens = field(default_factory=AccessTokens)
    region: str = "europe-west1"
    instance: Instance | None = None
    changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        """Wake the requests that wait whenever the accounts change."""
        self.accounts.listen(self.changes.notify)

    @property
    def project_number(self) -> str:
        """The number of the project, in digits."""
        return self.identities.project_number

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the metadata server, with the one at ``/`` by which clients detect it.

        Returns:
            Routes for a Starlette application.
        """
        either = ["GET", "POST"]
        return [
            Route("/", self._root),
            Mount(
                _PREFIX,
                routes=[
                    Route(f"{_ACCOUNT}/identity", self._identity, methods=either),
                    Route(f"{_ACCOUNT}/token", self._token, methods=either),
                    Route("/{path:path}", self._read),
                ],
                # Errors are answered inside, so that they carry the header too.
                middleware=[Middleware(RequireFlavor), Middleware(ExceptionMiddleware)],
            ),
        ]

    def machine_claims(self, *, licenses: bool) -> dict[str, object]:
        """Return the claims of ``format=full``: none if no machine is emulated, as on Cloud Run.

        Args:
            licenses: Whether those of the licences of its image are among them.
        """
        return self._machine.claims(licenses=licenses)

    async def _root(self, request: Request) -> Response:
        # A client that looks for a metadata server asks here, and decides by the header alone.
        return refuse_forwarded(request.headers) or Response(
            "computeMetadata/\n", media_type=_TEXT, headers={FLAVOR_HEADER: FLAVOR}
        )

    async def _read(self, request: Request) -> Response:
        path: str = request.path_params["path"]
        names = path.removesuffix("/").split("/") if path else []
        node = self._find(names)
        if is_directory(node) and path and not path.endswith("/"):
            query = f"?{request.url.query}" if request.url.query else ""
            where = "/".join(quote(name, safe="@") for name in names)
            return _text(f"{_PREFIX}/{where}/", HTTPStatus.MOVED_PERMANENTLY, f"{_PREFIX}/{where}/{query}")
        if not is_directory(node) and path.endswith("/"):
            raise HTTPException(HTTPStatus.NOT_FOUND, _NOT_FOUND)
        if _is_true(request, "wait_for_change"):
            await self._wait(request, names)
            node = self._find(names)
        return _answer(request, node)

    def _find(self, names: list[str]) -> Node:
        try:
            node = walk({"v1": self._machine.tree()}, names)
        except KeyError:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NOT_FOUND) from None
        if node is MINTED:
            raise HTTPException(HTTPStatus.NOT_FOUND, _NOT_FOUND)
        return node

    async def _wait(self, request: Request, names: list[str]) -> None:
        """Wait until what is asked for has another entity tag than the one that the client knows."""
        limit = request.query_params.get("timeout_sec")
        if limit is not None and not (
            limit.isascii() and limit.isdigit() and len(limit) <= _LONGEST_WAIT_DIGITS
        ):
            raise HTTPException(HTTPStatus.BAD_REQUEST, "timeout_sec must be a number of seconds")
        known = request.query_params.get("last_etag", _etag(request, self._find(names)))

        def changed() -> bool:
            try:
                return _etag(request, self._find(names)) != known
            except HTTPException:
                return True  # it is there no longer, and the client is to know that

        try:
            await self.changes.wait_until(changed, request, None if limit is None else int(limit))
        except TooManyWaiting:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many requests wait for a change"
            ) from None

    async def _identity(self, request: Request) -> Response:
        account = self._account_of(request)
        query = request.query_params
        audience = query.get("audience")
        if not audience:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "non-empty audience parameter required")
        form = query.get("format", "standard").lower()
        if form not in _FORMATS:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "format parameter must be standard or full")
        await _check_binding(request)
        licenses = query.get("licenses", "").upper() == "TRUE"
        claims = self.machine_claims(licenses=licenses) if form == "full" else {}
        token = self.issuer.mint_for(account, audience, claims=claims)
        # Not JSON: google-auth would parse it.
        return Response(token, media_type="text/html")

    async def _token(self, request: Request) -> Response:
        account = self._account_of(request)
        await _check_binding(request)
        asked = (scope.strip() for scope in request.query_params.get("scopes", "").split(","))
        scopes = tuple(filter(None, asked)) or account.scopes
        token = self.access_tokens.issue(account, scopes, lifetime=_TOKEN_SECONDS)
        return JSONResponse({"access_token": token, "expires_in": _TOKEN_SECONDS, "token_type": "Bearer"})

    def _account_of(self, request: Request) -> Account:
        account = self.accounts.find(request.path_params["account"])
        if account is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such service account")
        return account

    @property
    def _machine(self) -> Machine:
        return Machine(self.identities, self.accounts, self.region, self.instance)


def _text(content: str, status: int = HTTPStatus.OK, location: str | None = None) -> Response:
    """Answer with plain text, of a media type that no client parses as JSON."""
    return Response(content, status, {} if location is None else {"Location": location}, _TEXT)


def _is_true(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"


def _is_whole(request: Request, node: Node) -> bool:
    return not is_directory(node) or _is_true(request, "recursive")


def _etag(request: Request, node: Node) -> str:
    """Return the entity tag of what a request asks for: the names of a directory, or all that is in it."""
    return etag_of(as_json(node) if _is_whole(request, node) else listed(node))


def _answer(request: Request, node: Node) -> Response:
    form = request.query_params.get("alt", "json" if is_directory(node) else "text").lower()
    if form not in ("json", "text"):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "alt parameter must be json or text")
    etag = _etag(request, node)
    answer: Response
    if request.headers.get("if-none-match", "").strip().removeprefix("W/").strip('"') == etag:
        answer = Response(status_code=HTTPStatus.NOT_MODIFIED)
    elif not _is_whole(request, node):
        answer = _text("".join(f"{name}\n" for name in listed(node)))
    elif form == "json":
        answer = JSONResponse(as_json(node))
    else:
        answer = _text(as_text(node))
    answer.headers["ETag"] = etag
    return answer


async def _check_binding(request: Request) -> None:
    """Check the body of a POST, with which clients ask for a token bound to their certificate.

    The token is the same as without one, since Google does not document the claims of a bound token.

    Raises:
        HTTPException: 400, if the body is not a JSON object with a member ``certificate_chain``.
    """
    if request.method != "POST":
        return
    try:
        chain = (await read_json(request)).get("certificate_chain")
    except GoogleError:
        chain = None
    if not isinstance(chain, str) or not chain:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "certificate_chain must be a non-empty string of PEM")
