"""``getIamPolicy``, ``setIamPolicy`` and ``testIamPermissions`` over REST, for services and functions.

The paths are those of https://cloud.google.com/run/docs/reference/rest (v1, which gcloud and Terraform
call, and v2) and of https://cloud.google.com/functions/docs/reference/rest (v2). Any caller on this machine
may call them, with a credential or without: the emulator guards no cloud resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.issuers.google import GOOGLE
from doorward.policy.iam import InvokerPolicy
from doorward.policy.roles import ROLES
from doorward.shown import first_quoted, quoted
from doorward.strictjson import StrictJSONError, read_object, thaw
from doorward.tokens.principal import Principal
from doorward_integrations.emulator.google_errors import GoogleError, answering_errors
from doorward_integrations.emulator.services.documents import shown_policy
from doorward_integrations.emulator.services.names import service_name
from doorward_integrations.emulator.services.store import DEFAULT_MASK, PolicyStore, StoredPolicy

__all__ = ["AccountOf", "IamMethods", "policy_answer"]

AccountOf = Callable[[str], str | None]
"""Returns the address of the account that an access token was issued to; None if it is not known."""

_RESOURCES: Final = (("v1", "services"), ("v2", "services"), ("v2", "functions"))
_LARGEST: Final = 256 * 1024
_PERMISSION: Final = re.compile(r"[a-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)+")
# Protocol buffers accept both names of a field in JSON (https://protobuf.dev/programming-guides/json).
_NAMES: Final = {"update_mask": "updateMask", "audit_configs": "auditConfigs"}
_VERSIONS: Final = {"": 0, "0": 0, "1": 1, "3": 3}


def _invalid(message: str) -> GoogleError:
    return GoogleError("INVALID_ARGUMENT", message)


def policy_answer(stored: StoredPolicy, requested: int = 3) -> dict[str, Any]:
    """Write a policy as the methods return it.

    Args:
        stored: The policy.
        requested: The version that was asked for.

    Returns:
        The policy with its etag: a copy. That of a policy that was never set has nothing else.
    """
    shown: dict[str, Any] = {
        name: thaw(one) for name, one in shown_policy(stored.document, requested).items()
    }
    return {**shown, "etag": stored.etag}


class IamMethods:
    """The methods, as routes over a store."""

    def __init__(
        self,
        store: PolicyStore,
        *,
        set_policy: Callable[..., StoredPolicy] | None = None,
        account_of: AccountOf | None = None,
    ) -> None:
        """Put methods over a store.

        Args:
            store: The policies.
            set_policy: Sets one, as `PolicyStore.set` does, which is the default.
            account_of: Resolves access tokens, for ``testIamPermissions``; by default every caller is
                anonymous.
        """
        self._store: Final = store
        self._set_policy: Final = store.set if set_policy is None else set_policy
        self._account_of: Final = account_of

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the methods.

        Returns:
            Routes for a Starlette application.
        """
        methods = (
            ("getIamPolicy", "GET", self._get),
            ("setIamPolicy", "POST", self._set),
            ("testIamPermissions", "POST", self._test),
        )
        return [
            Route(
                f"/{version}/projects/{{project}}/locations/{{location}}/{kind}/{{name}}:{method}",
                answering_errors(partial(handler, kind)),
                methods=[verb],
            )
            for version, kind in _RESOURCES
            for method, verb, handler in methods
        ]

    async def _get(self, kind: str, request: Request) -> Response:
        asked = request.query_params.get("options.requestedPolicyVersion", "")
        if asked not in _VERSIONS:
            raise _invalid(f"Policy version {quoted(asked)} is not valid: it must be 0, 1 or 3")
        stored = self._store.get(_service(kind, request))
        return JSONResponse(policy_answer(stored, _VERSIONS[asked]))

    async def _set(self, kind: str, request: Request) -> Response:
        service = _service(kind, request)
        body = await _body(request, {"policy", "updateMask", "resource"})
        if "policy" not in body:
            raise _invalid("The request has no 'policy'")
        policy = _renamed(body["policy"]) if isinstance(body["policy"], dict) else body["policy"]
        # In a thread: it writes a file, and waits for the doors that follow.
        stored = await run_in_threadpool(self._set_policy, service, policy, _mask(body.get("updateMask")))
        return JSONResponse(policy_answer(stored))

    async def _test(self, kind: str, request: Request) -> Response:
        service = _service(kind, request)
        permissions = (await _body(request, {"permissions", "resource"})).get("permissions") or []
        if not isinstance(permissions, list) or not all(isinstance(one, str) for one in permissions):
            raise _invalid("Invalid value at 'permissions': it must be a list of strings")
        if bad := [one for one in permissions if not _PERMISSION.fullmatch(one)]:
            raise _invalid(f"Permission {quoted(bad[0])} is not valid: write SERVICE.RESOURCE.VERB")
        caller = self._caller(request.headers.get("authorization", ""))
        document = self._store.get(service).document
        held = [one for one in permissions if one in ROLES and _holds(document, one, caller)]
        return JSONResponse({"permissions": held} if held else {})

    def _caller(self, authorization: str) -> Principal:
        scheme, _, token = authorization.partition(" ")
        email = None
        if self._account_of is not None and scheme.lower() == "bearer":
            email = self._account_of(token.strip())
        if email is None:
            return Principal({}, None)
        return Principal({"email": email, "email_verified": True}, GOOGLE)


def _holds(document: Mapping[str, Any], permission: str, caller: Principal) -> bool:
    policy = InvokerPolicy.from_dict(document, permission=permission, groups=lambda _, __: False)
    return policy.decide(caller).granted


def _service(kind: str, request: Request) -> str:
    at = request.path_params
    resource = f"projects/{at['project']}/locations/{at['location']}/{kind}/{at['name']}"
    try:
        return service_name(resource)
    except ConfigurationError:
        raise _invalid(f"Resource name {quoted(resource)} is not valid") from None


def _mask(given: object) -> frozenset[str]:
    if given is None or given == "":
        return DEFAULT_MASK
    if not isinstance(given, str):
        raise _invalid("Invalid value at 'update_mask': it must be a string of names, with commas between")
    return frozenset(_NAMES.get(one.strip(), one.strip()) for one in given.split(","))


def _renamed(members: Mapping[str, Any]) -> dict[str, Any]:
    return {_NAMES.get(name, name): value for name, value in members.items()}


async def _body(request: Request, known: set[str]) -> dict[str, Any]:
    """Read the body: one JSON object with members that are known.

    It must be declared as JSON, as every client of Google's does: a web page of another site can send any
    other body to this machine without asking first (https://fetch.spec.whatwg.org, "CORS protocol").
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise _invalid("The request needs the header Content-Type: application/json")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _LARGEST:
            raise _invalid(f"The request is larger than {_LARGEST} bytes")
    try:
        members = _renamed({name: thaw(one) for name, one in read_object(bytes(raw) or b"{}").items()})
    except StrictJSONError as error:
        raise _invalid(f"Invalid JSON payload: {error}") from None
    if unknown := members.keys() - known:
        raise _invalid(f"Invalid JSON payload: unknown name {first_quoted(unknown)}: Cannot find field")
    return members
