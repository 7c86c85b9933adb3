"""A decision about a path holds under every reading of it: door and application never read two paths."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from doorward import GOOGLE, Admission, Door, InvokerPolicy, PlainRequest, Principal, Refusal
from doorward.errors import Reason
from doorward.policy.decision import Decision
from doorward.policy.request import RequestFacts
from doorward_integrations.asgi import AsgiRequest
from support.tokens import MEMBER
from support.world import World


def policy(expression: str, member: str = "allUsers") -> InvokerPolicy:
    condition = {"title": "t", "expression": expression}
    binding = {"role": "roles/run.invoker", "members": [member], "condition": condition}
    return InvokerPolicy.from_dict({"version": 3, "bindings": [binding]})


NOT_ADMIN = policy('!request.path.startsWith("/admin")')
PUBLIC = policy('request.path.startsWith("/public/")')


def asgi(path: str, raw: bytes | None = None, root_path: str = "", **settings: Any) -> AsgiRequest:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": []}
    return AsgiRequest(scope | ({} if raw is None else {"raw_path": raw}), **settings)


@pytest.mark.parametrize(
    "request_",
    [
        PlainRequest("//admin"),
        PlainRequest("/x/../admin"),
        PlainRequest("/./admin"),
        PlainRequest("/public\\..\\admin"),
        PlainRequest("/x/%2e%2e/admin"),
        asgi("/api/admin", root_path="/api"),
        asgi("/api/admin", root_path="/api/"),
        asgi("/api//admin", root_path="/api"),
        asgi("/api/x/../admin", root_path="/api"),
        asgi("/api/../admin", root_path="/api"),
    ],
    ids=lambda request: request.path,
)
def test_what_is_forbidden_under_one_reading_is_forbidden(world: World, request_: RequestFacts) -> None:
    outcome = Door(world.verifier(), NOT_ADMIN).admit([], request_)

    assert isinstance(outcome, Refusal)


@pytest.mark.parametrize(
    "path", ["/public/../admin/a.txt", "/public/%2e%2e/a", "/public\\..\\a", "/public//../../a"]
)
def test_what_is_allowed_under_one_reading_only_is_not_allowed(world: World, path: str) -> None:
    assert isinstance(Door(world.verifier(), PUBLIC).admit([], PlainRequest(path)), Refusal)


@pytest.mark.parametrize(
    "path", ["/public/a", "/public/b.c/d", "/public//a", "/public/./a", "/public/x/../a"]
)
def test_what_every_reading_allows_is_allowed(world: World, path: str) -> None:
    assert isinstance(Door(world.verifier(), PUBLIC).admit([], PlainRequest(path)), Admission)


def test_the_refusal_names_the_readings_that_disagreed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    by_path = policy('request.path.startsWith("/api/")', MEMBER)
    headers = [(b"authorization", b"Bearer " + world.token().encode())]

    outcome = Door(world.verifier(), by_path).admit(headers, asgi("/api/orders", root_path="/api"))

    assert isinstance(outcome, Refusal)
    assert Reason.PERMISSION_DENIED == outcome.reason
    assert "'/api/orders' would, '/orders' would not" in caplog.text


def test_under_the_prefix_that_a_proxy_cuts_off_only_readings_with_it_count(world: World) -> None:
    door = Door(world.verifier(), policy('request.path.startsWith("/api/public")'))

    assert isinstance(door.admit([], asgi("/public/x", public_prefix="/api")), Admission)
    assert isinstance(
        door.admit([], asgi("/api/public/x", root_path="/api", public_prefix="/api")), Admission
    )
    assert isinstance(door.admit([], asgi("/public/../admin", public_prefix="/api")), Refusal)
    assert isinstance(door.admit([], asgi("/admin", public_prefix="/api")), Refusal)


@pytest.mark.parametrize("path", ["/\udcff", "/x\ud800/y"])
@pytest.mark.parametrize("rule", [NOT_ADMIN, InvokerPolicy.all_users(), InvokerPolicy.from_members([MEMBER])])
def test_a_path_that_cannot_be_read_is_a_refusal(world: World, path: str, rule: InvokerPolicy) -> None:
    door = Door(world.verifier(), rule, exempt=[("GET", path)])
    good = [(b"authorization", b"Bearer " + world.token().encode())]

    for headers in ([], good, good):
        for request in (PlainRequest(path), asgi(path), asgi(path, b"/%ff")):
            outcome = door.admit(headers, request)
            assert isinstance(outcome, Refusal)
            assert (403, Reason.UNREADABLE_PATH) == (outcome.status, outcome.reason)
        assert door.admit_cached(headers, "GET", path) is None


# A grant is reused only where the policy promises that it depends on nothing of the request.


class ByPath:
    """A policy of the application's own, which decides by the path."""

    public = False

    def __init__(self, *, promise: bool | None) -> None:
        self.promise = promise

    def decide(self, _principal: Principal, request: RequestFacts, _now: float) -> Decision:
        decision = Decision(granted=request.path.startswith("/public"))
        return decision if self.promise is None else decision._replace(same_for_every_request=self.promise)


@pytest.mark.parametrize("promise", [None, False, True])
def test_a_grant_for_one_path_is_never_reused_for_another(
    world: World,
    caplog: pytest.LogCaptureFixture,
    promise: bool | None,  # noqa: FBT001 - a parameter
) -> None:
    door = Door(world.verifier(), ByPath(promise=promise))
    headers = [(b"authorization", b"Bearer " + world.token().encode())]

    for _ in range(2):
        assert isinstance(door.admit(headers, PlainRequest("/public")), Admission)
        assert isinstance(door.admit(headers, PlainRequest("/admin")), Refusal)
        assert door.admit_cached(headers, "GET", "/public") is None
    broken = [record for record in caplog.records if "read the request" in record.message]
    assert bool(promise) == bool(broken)
    assert all(record.levelno == logging.WARNING for record in broken)


@pytest.mark.parametrize("fact", ["path", "sent_path", "readings", "method", "host", "websocket"])
def test_reading_any_fact_of_a_request_keeps_a_decision_from_being_reused(world: World, fact: str) -> None:
    class Nosy:
        public = False

        def decide(self, _principal: Principal, request: RequestFacts, _now: float) -> Decision:
            getattr(request, fact)
            return Decision(granted=True, same_for_every_request=True)

    door = Door(world.verifier(), Nosy())
    headers = [(b"authorization", b"Bearer " + world.token().encode())]

    assert isinstance(door.admit(headers, PlainRequest("/")), Admission)
    assert door.admit_cached(headers, "GET", "/") is None


def test_a_policy_that_promises_it_is_asked_once_for_a_token(world: World) -> None:
    asked: list[Principal] = []

    class Fixed:
        public = False

        def decide(self, principal: Principal, _request: RequestFacts, _now: float) -> Decision:
            asked.append(principal)
            return Decision(granted=principal.issuer == GOOGLE.iss_values[0], same_for_every_request=True)

    door = Door(world.verifier(), Fixed())
    headers = [(b"authorization", b"Bearer " + world.token().encode())]
    for path in ("/a", "/b", "/c"):
        assert isinstance(door.admit(headers, PlainRequest(path)), Admission)

    assert 1 == len(asked)
    assert door.admit_cached(headers, "GET", "/d") is not None
