"""The metadata server: the part of it that Google's clients use to get tokens.

Paths, parameters and answers are those of https://cloud.google.com/compute/docs/metadata and
https://cloud.google.com/compute/docs/instances/verifying-instance-identity.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.accounts import Account, Accounts, numeric_id
from doorward_integrations.emulator.instance import Instance
from doorward_integrations.emulator.issuer import EmulatedIssuer

__all__ = ["MetadataServer"]

_FLAVOR_HEADER: Final = "Metadata-Flavor"
_FLAVOR: Final = "Google"
_FORWARDED: Final = "A request with an X-Forwarded-For header is refused."
_PREFIX: Final = "/computeMetadata"
_ACCOUNTS: Final = "/v1/instance/service-accounts"
_UNIVERSE: Final = "googleapis.com"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_TOKEN_SECONDS: Final = 3_599
_FORMATS: Final = ("standard", "full")
_TEXT: Final = "application/text"
_PROJECT_NUMBER_DIGITS: Final = 12


def _is_forwarded(headers: Headers) -> bool:
    """Return whether a proxy forwarded the request; a ``_`` counts as a ``-``, as CGI and WSGI read it."""
    return any(name.lower().replace("_", "-") == "x-forwarded-for" for name in headers)


def _refusal(reason: str) -> Response:
    return PlainTextResponse(reason, HTTPStatus.FORBIDDEN, media_type="text/html")


class _Flavor:
    """Requires the header, which browsers and proxies do not add, and adds it to each answer, errors too.

    Refuses what was forwarded, as the real server does
    (https://cloud.google.com/compute/docs/metadata/querying-metadata, "X-Forwarded-For header").
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def flavored(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[_FLAVOR_HEADER] = _FLAVOR
            await send(message)

        app = self._app
        headers = Headers(scope=scope)
        if _is_forwarded(headers):
            app = _refusal(_FORWARDED)
        elif headers.get(_FLAVOR_HEADER) != _FLAVOR:
            app = _refusal(f"Missing {_FLAVOR_HEADER}:{_FLAVOR} header.")
        await app(scope, receive, flavored)


def _text(content: str) -> Response:
    """Answer with plain text, of a media type that no client parses as JSON."""
    return Response(content, media_type=_TEXT)


def _is_recursive(request: Request) -> bool:
    return request.query_params.get("recursive", "").lower() == "true"


def _camel(tree: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a tree with the names that ``recursive=true`` has: ``project-id`` becomes ``projectId``."""
    if not isinstance(tree, dict):
        return tree
    # An account's address, and no other name, has an @.
    return {
        name if "@" in name else re.sub("-(.)", lambda found: found[1].upper(), name): _camel(value)
        for name, value in tree.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataServer:
    """Answers the requests that google-auth and Google's other clients send to a metadata server.

    Attributes:
        issuer: Mints the ID tokens.
        accounts: The service accounts of the machine.
        project: The id of its project.
        region: The region of the machine.
        instance: The machine that ``format=full`` describes; None for tokens without such claims.
    """

    issuer: EmulatedIssuer
    accounts: Accounts = field(default_factory=Accounts)
    project: str = "doorward-demo"
    region: str = "europe-west1"
    instance: Instance | None = None

    def __post_init__(self) -> None:
        """Refuse an empty project.

        Raises:
            ConfigurationError: If the project is empty.
        """
        if not self.project:
            raise ConfigurationError("the metadata server needs the id of a project, such as doorward-demo")

    @property
    def project_number(self) -> str:
        """The number of the project: 12 digits that follow from its id."""
        return numeric_id(self.project, _PROJECT_NUMBER_DIGITS)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the metadata server, with the one at ``/`` by which clients detect it.

        Returns:
            Routes for a Starlette application.
        """
        account = f"{_ACCOUNTS}/{{account}}"
        either = ["GET", "POST"]
        return [
            Route("/", self._root),
            Mount(
                _PREFIX,
                routes=[
                    Route("/", self._directory),
                    *(
                        Route(f"{path}{slash}", self._directory)
                        for path in ("/v1", "/v1/instance", "/v1/project", "/v1/universe", _ACCOUNTS)
                        for slash in ("", "/")
                    ),
                    Route("/v1/project/project-id", self._project_id),
                    Route("/v1/project/numeric-project-id", self._project_number),
                    Route("/v1/universe/universe-domain", self._universe),
                    Route("/v1/instance/region", self._region),
                    Route(account, self._account),
                    Route(f"{account}/", self._account),
                    Route(f"{account}/email", self._email),
                    Route(f"{account}/identity", self._identity, methods=either),
                    Route(f"{account}/token", self._token, methods=either),
                ],
                # Errors are answered inside, so that they carry the header too.
                middleware=[Middleware(_Flavor), Middleware(ExceptionMiddleware)],
            ),
        ]

    async def _root(self, request: Request) -> Response:
        if _is_forwarded(request.headers):
            return _refusal(_FORWARDED)
        # A client that looks for a metadata server asks here, and decides by the header alone.
        return Response("computeMetadata/\n", media_type=_TEXT, headers={_FLAVOR_HEADER: _FLAVOR})

    async def _project_id(self, _: Request) -> Response:
        return _text(self.project)

    async def _project_number(self, _: Request) -> Response:
        return _text(self.project_number)

    async def _region(self, _: Request) -> Response:
        # https://cloud.google.com/run/docs/container-contract#metadata-server
        return _text(self._region_name)

    async def _universe(self, _: Request) -> Response:
        return _text(_UNIVERSE)

    @property
    def _region_name(self) -> str:
        return f"projects/{self.project_number}/regions/{self.region}"

    def _tree(self) -> dict[str, Any]:
        """Return all directories with what is in them, but for tokens; keys are names of the paths."""
        accounts = {one.email: self._described(one) for one in self.accounts}
        default = {"default": self._described(self.accounts.default)}
        return {
            "instance": {"region": self._region_name, "service-accounts": default | accounts},
            "project": {"numeric-project-id": int(self.project_number), "project-id": self.project},
            "universe": {"universe-domain": _UNIVERSE},
        }

    async def _directory(self, request: Request) -> Response:
        tree: Any = {"v1": self._tree()}
        for name in request.url.path.rpartition(_PREFIX)[2].strip("/").split("/"):
            tree = tree[name] if name else tree
        if _is_recursive(request):
            return JSONResponse(_camel(tree))
        return _text("".join(f"{name}/\n" if isinstance(tree[name], dict) else f"{name}\n" for name in tree))

    def _described(self, account: Account) -> dict[str, object]:
        aliases = ["default"] if account == self.accounts.default else []
        return {"aliases": aliases, "email": account.email, "scopes": list(_SCOPES)}

    async def _account(self, request: Request) -> Response:
        account = self._account_of(request)
        if _is_recursive(request):
            return JSONResponse(self._described(account))
        return _text("aliases\nemail\nidentity\nscopes\ntoken\n")

    async def _email(self, request: Request) -> Response:
        return _text(self._account_of(request).email)

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
        claims = self._machine(licenses=query.get("licenses", "").upper() == "TRUE") if form == "full" else {}
        token = self.issuer.mint(audience, email=account.email, claims=claims)
        # Not JSON: google-auth would parse it.
        return Response(token, media_type="text/html")

    async def _token(self, request: Request) -> Response:
        self._account_of(request)
        await _check_binding(request)
        # It is of no use: no emulated service takes access tokens, and Google never issued this one.
        token = f"ya29.fake-from-doorward-emulator.{secrets.token_urlsafe(24)}"
        return JSONResponse({"access_token": token, "expires_in": _TOKEN_SECONDS, "token_type": "Bearer"})

    def _account_of(self, request: Request) -> Account:
        account = self.accounts.find(request.path_params["account"])
        if account is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such service account")
        return account

    def _machine(self, *, licenses: bool) -> dict[str, object]:
        """Return the claims of ``format=full``: none if no machine is emulated, as on Cloud Run."""
        if self.instance is None:
            return {}
        machine: dict[str, object] = {
            "instance_creation_timestamp": self.instance.created,
            "instance_id": self.instance.id,
            "instance_name": self.instance.name,
            "project_id": self.project,
            "project_number": int(self.project_number),
            "zone": self.instance.zone,
        }
        if licenses:
            machine["license_id"] = list(self.instance.licenses)
        return {"google": {"compute_engine": machine}}


async def _check_binding(request: Request) -> None:
    """Check the body of a POST, with which clients ask for a token bound to their certificate.

    The token is the same as without one, since Google does not document the claims of a bound token.

    Raises:
        HTTPException: 400, if the body is not a JSON object with a member ``certificate_chain``.
    """
    if request.method != "POST":
        return
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    chain = body.get("certificate_chain") if isinstance(body, dict) else None
    if not isinstance(chain, str) or not chain:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "certificate_chain must be a non-empty string of PEM")
