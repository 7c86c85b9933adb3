"""The page at the emulator's root, and the interface that it uses.

A browser is given the page; clients that look for a metadata server at ``/`` still find one. The page is made
of three files without a build step, and may load nothing else (Content-Security-Policy).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from doorward.strictjson import StrictJSONError, read_object, thaw
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.decisions import Decisions
from doorward_integrations.emulator.interface import DECISIONS_PATH, PAGE_PATH
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.page.guard import SECURITY_HEADERS, Asked, Refused, guarded, text_of
from doorward_integrations.emulator.page.known import Known
from doorward_integrations.emulator.services.policies import ServicePolicies

if TYPE_CHECKING:
    from doorward_integrations.emulator.page.judging import Judge

__all__ = ["Page"]

_FILES: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}


class _BrowserRoute(Route):
    """Matches the page only for a browser: a client that looks for a metadata server is answered by that."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if "metadata-flavor" in headers or "text/html" not in headers.get("accept", ""):
                return Match.NONE, {}
        return super().matches(scope)


class Page:
    """The page, its files, and what it asks the emulator for.

    Attributes:
        decisions: The last decisions of the doors on this machine.
    """

    decisions: Final[Decisions]

    def __init__(self, issuer: EmulatedIssuer, known: Known, policies: ServicePolicies | None = None) -> None:
        """Take what the page shows.

        Args:
            issuer: Mints tokens and rotates keys.
            known: The known accounts.
            policies: The policies of services; None if the emulator keeps none.
        """
        self._issuer = issuer
        self._known = known
        self._policies = policies
        self.decisions = Decisions(issuer.clock)
        files = resources.files("doorward_integrations.emulator.page")
        self._html = (files / "page.html").read_bytes()
        self._files = {name: (files / name).read_bytes() for name in _FILES}

    @functools.cached_property
    def _judge(self) -> Judge:
        # With it come the door and the policy, which an emulator that only mints does not need.
        from doorward_integrations.emulator.page.judging import Judge  # noqa: PLC0415

        return Judge(self._issuer, self._known, self._minted)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page.

        Returns:
            Routes for a Starlette application, of which the first must stand before the metadata server's.
        """
        handlers: dict[str, Callable[[Asked], Any]] = {
            f"{PAGE_PATH}/explain": self._explain,
            f"{PAGE_PATH}/effect": self._effect,
            f"{PAGE_PATH}/policy": self._set_policy,
            f"{PAGE_PATH}/rotate": self._rotate,
            DECISIONS_PATH: lambda asked: {"taken": self.decisions.report(asked)},
        }
        return [
            _BrowserRoute("/", self._page),
            *(Route(f"{PAGE_PATH}/{name}", self._file) for name in _FILES),
            Route(f"{PAGE_PATH}/state", guarded(self._state), methods=["GET"]),
            Route(f"{PAGE_PATH}/policy", guarded(self._get_policy), methods=["GET"]),
            Route(DECISIONS_PATH, guarded(self._list_decisions), methods=["GET"]),
            *(Route(path, guarded(handler), methods=["POST"]) for path, handler in handlers.items()),
        ]

    async def _page(self, request: Request) -> Response:
        del request
        # Go's client takes this header on any answer for the sign of a metadata server.
        headers = {**SECURITY_HEADERS, "Metadata-Flavor": "Google", "Vary": "Accept, Metadata-Flavor"}
        return Response(self._html, media_type="text/html; charset=utf-8", headers=headers)

    async def _file(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response(self._files[name], media_type=_FILES[name], headers=SECURITY_HEADERS)

    def _state(self, asked: Asked) -> dict[str, Any]:
        del asked
        current, previous = self._issuer.keys
        return {
            "project": self._known.project,
            "iss": self._issuer.iss,
            "now": self._issuer.clock(),
            "accounts": [
                {
                    "email": one.email,
                    "subject": one.subject,
                    "default": one.email == self._known.default.email,
                }
                for one in self._known.all()
            ],
            "keys": [{"kid": current.kid, "signs": True}, {"kid": previous.kid, "signs": False}],
            "services": None if self._policies is None else list(self._policies.names()),
        }

    def _minted(self, account: Account, audience: str) -> str:
        return self._issuer.mint_for(account, audience)

    def _rotate(self, asked: Asked) -> dict[str, Any]:
        self._issuer.rotate(withdraw=asked.get("withdraw") is True)
        return self._state(asked)

    def _get_policy(self, asked: Asked) -> dict[str, Any]:
        return {"policy": dict(self._kept().get(text_of(asked, "service")))}

    def _set_policy(self, asked: Asked) -> dict[str, Any]:
        policy = _object(text_of(asked, "policy"))
        return {"policy": dict(self._kept().set(text_of(asked, "service"), policy))}

    def _explain(self, asked: Asked) -> dict[str, Any]:
        return self._judge.explain(asked)

    def _effect(self, asked: Asked) -> dict[str, Any]:
        service = text_of(asked, "service", "")
        before = json.dumps(dict(self._kept().get(service))) if service else text_of(asked, "before", "")
        return self._judge.effect(before, asked)

    def _kept(self) -> ServicePolicies:
        if self._policies is None:
            raise Refused(HTTPStatus.NOT_FOUND, "This emulator keeps no policies of services.")
        return self._policies

    def _list_decisions(self, asked: Asked) -> dict[str, Any]:
        after = str(asked.get("after", "0"))
        digits = after.isascii() and after.isdigit() and len(after) < 16  # noqa: PLR2004 - a safe integer
        return {"decisions": self.decisions.since(int(after) if digits else 0)}


def _object(text: str) -> dict[str, Any]:
    try:
        found = read_object(text.encode("utf-8", "surrogatepass"))
    except StrictJSONError as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"The policy is no JSON object: {error}.") from None
    return {name: thaw(value) for name, value in found.items()}
