"""Exemptions for health checks and preflights: none by default, and only to the letter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Admission, ConfigurationError, Door, InvokerPolicy, PlainRequest, Refusal
from doorward_integrations.asgi import AsgiRequest
from support.tokens import MEMBER
from support.world import World

HEALTH = ("GET", "/healthz")
PREFLIGHT = ("OPTIONS", "/orders")

Ask = Callable[[Door, list[tuple[bytes, bytes]], Any], Admission | Refusal]


@pytest.fixture(params=["admit", "aadmit"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "admit":
        return lambda door, headers, asked: door.admit(headers, asked)
    return lambda door, headers, asked: asyncio.run(door.aadmit(headers, asked))


def guarded(world: World, *exempt: tuple[str, str]) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=exempt)


@pytest.mark.parametrize(("method", "path"), [HEALTH, PREFLIGHT])
def test_nothing_is_exempt_by_default(ask: Ask, world: World, method: str, path: str) -> None:
    """As on Cloud Run, where a preflight without a credential gets 403 too."""
    answer = ask(guarded(world), [], PlainRequest(path, method))

    assert isinstance(answer, Refusal)
    assert 403 == answer.status


@pytest.mark.parametrize(("method", "path"), [HEALTH, PREFLIGHT])
def test_an_exempt_request_passes_as_nobody(ask: Ask, world: World, method: str, path: str) -> None:
    answer = ask(guarded(world, HEALTH, PREFLIGHT), [], PlainRequest(path, method))

    assert isinstance(answer, Admission)
    assert answer.principal.anonymous


@pytest.mark.parametrize(
    "sent",
    [
        [(b"authorization", b"Bearer not.a.token")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"x-serverless-authorization", b"\xff\x00")],
    ],
    ids=["malformed", "twice", "garbage"],
)
def test_nothing_is_parsed_on_an_exempt_path(ask: Ask, world: World, sent: list[tuple[bytes, bytes]]) -> None:
    """CVE-2019-12995 (Istio): a malformed token brought even unprotected paths down."""
    answer = ask(guarded(world, HEALTH), sent, PlainRequest("/healthz"))

    assert isinstance(answer, Admission)
    assert 0 == world.endpoint.fetches


def test_what_only_a_platform_may_say_does_not_pass_an_exempt_path(ask: Ask, world: World) -> None:
    sent = [
        (b"x-goog-authenticated-user-email", b"accounts.google.com:root@example.com"),
        (b"x-serverless-authorization", b"Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE"),
        (b"authorization", b"Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE"),
        (b"host", b"x"),
    ]

    answer = ask(guarded(world, HEALTH), sent, PlainRequest("/healthz"))

    assert isinstance(answer, Admission)
    assert [(b"host", b"x")] == answer.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/healthz"),
        ("HEAD", "/healthz"),
        ("get", "/healthz"),
        ("GET", "/healthz/"),
        ("GET", "//healthz"),
        ("GET", "/healthz/../orders"),
        ("GET", "/orders/../healthz"),
        ("GET", "/./healthz"),
        ("GET", "/healthz;x"),
        ("GET", "/healthz%2f"),
        ("GET", "/healthz?x"),
        ("GET", "/healthz#x"),
        ("GET", "/Healthz"),
        ("GET", "/healthz "),
        ("GET", "/healthz\x00"),
        ("GET", "/orders/healthz"),
        ("GET", ""),
        ("GET", "healthz"),
    ],
)
def test_what_looks_like_an_exempt_path_is_not_one(ask: Ask, world: World, method: str, path: str) -> None:
    assert isinstance(ask(guarded(world, HEALTH), [], PlainRequest(path, method)), Refusal)


@pytest.mark.parametrize(
    "host", [b"x/healthz?", b"x#", b"x\r\n", b"x:80/healthz", b"@/healthz", b"[::1]/healthz", b""]
)
def test_a_host_header_does_not_make_a_path_exempt(ask: Ask, world: World, host: bytes) -> None:
    """CVE-2026-48710 (Starlette): a Host header that became part of the path."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/orders",
        "raw_path": b"/orders",
        "headers": [(b"host", host)],
    }

    assert isinstance(ask(guarded(world, HEALTH), scope["headers"], AsgiRequest(scope)), Refusal)  # type: ignore[arg-type]


def test_the_decoded_path_is_what_counts(ask: Ask, world: World) -> None:
    """The application routes by it as well: both see one path, however it was sent."""
    scope = {"type": "http", "method": "GET", "path": "/healthz", "raw_path": b"/%68ealthz", "headers": []}

    assert isinstance(ask(guarded(world, HEALTH), [], AsgiRequest(scope)), Admission)


def test_a_mounted_application_is_exempt_by_every_reading_of_its_path(ask: Ask, world: World) -> None:
    scope = {"type": "http", "method": "GET", "path": "/admin/healthz", "root_path": "/admin", "headers": []}
    whole = ("GET", "/admin/healthz")

    assert isinstance(ask(guarded(world, HEALTH), [], AsgiRequest(scope)), Refusal)
    assert isinstance(ask(guarded(world, whole), [], AsgiRequest(scope)), Refusal)
    assert isinstance(ask(guarded(world, whole, HEALTH), [], AsgiRequest(scope)), Admission)
    under_prefix = AsgiRequest(scope, public_prefix="/admin")
    assert isinstance(ask(guarded(world, whole), [], under_prefix), Admission)
    assert isinstance(ask(guarded(world, HEALTH), [], under_prefix), Refusal)


@pytest.mark.parametrize("path", ["//healthz", "/x/../healthz", "/./healthz", "/healthz;v=1", "/%2e/healthz"])
def test_a_path_that_only_some_readers_take_for_the_exempt_one_is_not_exempt(
    ask: Ask, world: World, path: str
) -> None:
    assert isinstance(ask(guarded(world, HEALTH), [], PlainRequest(path)), Refusal)


def test_an_exemption_opens_no_other_method_and_no_slash_at_the_end(ask: Ask, world: World) -> None:
    for request in (PlainRequest("/healthz", "HEAD"), PlainRequest("/healthz/")):
        assert isinstance(ask(guarded(world, HEALTH), [], request), Refusal)
    asked = guarded(world, HEALTH, ("HEAD", "/healthz"), ("GET", "/healthz/"))
    for request in (PlainRequest("/healthz", "HEAD"), PlainRequest("/healthz/")):
        assert isinstance(ask(asked, [], request), Admission)


def test_a_websocket_is_opened_by_an_exemption_of_its_own_only(ask: Ask, world: World) -> None:
    scope = {"type": "websocket", "path": "/healthz", "headers": []}

    assert isinstance(ask(guarded(world, HEALTH), [], AsgiRequest(scope)), Refusal)
    assert isinstance(ask(guarded(world, ("WEBSOCKET", "/healthz")), [], AsgiRequest(scope)), Admission)


@given(st.text(max_size=12), st.sampled_from(["GET", "POST", "get", "OPTIONS"]))
@settings(deadline=None, max_examples=200)
def test_of_any_path_only_the_exempt_one_passes(path: str, method: str) -> None:
    door = guarded(World(), HEALTH)

    answer = door.admit([], PlainRequest(path, method))

    assert (HEALTH == (method, path)) == isinstance(answer, Admission)


EVERY_PREFLIGHT = ("OPTIONS", "/{path:path}")


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/1", "/a//b", "/a/../b", "/x%2Fy", "/å", "/a\n"])
def test_one_template_lets_every_preflight_pass(ask: Ask, world: World, path: str) -> None:
    door = guarded(world, EVERY_PREFLIGHT)

    assert isinstance(ask(door, [], PlainRequest(path, "OPTIONS")), Admission)
    assert [403, 403] == [refused(ask(door, [], PlainRequest(path, method))) for method in ("GET", "HEAD")]


def refused(answer: Admission | Refusal) -> int:
    assert isinstance(answer, Refusal)
    return answer.status


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("/orders/{id}", "/orders/1", True),
        ("/orders/{id}", "/orders/1/items", False),
        ("/orders/{id}", "/orders/", False),
        ("/orders/{id}", "/orders", False),
        ("/orders/{id}", "/Orders/1", False),
        ("/orders/{id}", "/orders/..", False),
        ("/orders/{id}", "/orders/.", False),
        ("/orders/{id}", "/orders/1;x", True),
        ("/orders/{id}", "/orders/a\\b", False),
        ("/orders/{id}", "/orders/a%2Fb", False),
        ("/orders/{id}", "/orders/a%2E%2E", True),
        ("/orders/{id}", "/orders/%2E%2E", False),
        ("/orders/{id}/items/{item}", "/orders/1/items/2", True),
        ("/orders/{id}/items/{item}", "/orders/1/other/2", False),
        ("/files/{rest:path}", "/files/a/b/c", True),
        ("/files/{rest:path}", "/files/", True),
        ("/files/{rest:path}", "/files", False),
        ("/files/{rest:path}", "/files/../orders", False),
        ("/files/{rest:path}", "/files/a/../../orders", False),
        ("/a.b/{id}", "/aXb/1", False),
    ],
)
def test_a_template_stands_for_a_path_under_every_reading_of_it(
    ask: Ask, world: World, template: str, path: str, *, expected: bool
) -> None:
    answer = ask(guarded(world, ("GET", template)), [], PlainRequest(path))

    assert expected is isinstance(answer, Admission)


def test_a_template_opens_its_own_method_and_leaves_exact_pairs_exact(ask: Ask, world: World) -> None:
    door = guarded(world, HEALTH, ("OPTIONS", "/orders/{id}"), ("WEBSOCKET", "/live/{room}"))
    asked = [
        PlainRequest("/healthz"),
        PlainRequest("/orders/1", "OPTIONS"),
        PlainRequest("/live/1", websocket=True),
        PlainRequest("/healthz/1"),
        PlainRequest("/orders/1"),
        PlainRequest("/live/1"),
    ]

    assert [True] * 3 + [False] * 3 == [isinstance(ask(door, [], one), Admission) for one in asked]


def test_what_a_template_exempts_is_not_admitted_by_a_cached_token(world: World) -> None:
    door = guarded(world, ("GET", "/open/{page}"))
    headers = [(b"authorization", b"Bearer " + world.token().encode())]
    assert isinstance(door.admit(headers), Admission)

    assert door.admit_cached(headers, "GET", "/open/1") is None
    assert door.admit_cached(headers, "GET", "/orders/1") is not None


@pytest.mark.parametrize(
    "template",
    ["/{}", "/a}", "/{a", "/{a}b", "/b{a}", "/{a:int}", "/{a:path}/b", "/{{a}}", "/{a b}", "/{1}", "/{a}{b}"],
)
def test_a_template_that_is_not_understood_is_refused(world: World, template: str) -> None:
    with pytest.raises(ConfigurationError, match="the template"):
        guarded(world, ("GET", template))


def test_a_long_path_under_many_templates_is_decided_like_any_other(ask: Ask, world: World) -> None:
    door = guarded(world, *((("OPTIONS", "/{a}" * length)) for length in range(1, 40)))

    assert 403 == refused(ask(door, [], PlainRequest("/a" * 50_000, "OPTIONS")))


@pytest.mark.parametrize(
    "exempt",
    [
        "/healthz",
        [("GET",)],
        [("GET", "healthz")],
        [("get", "/healthz")],
        ["GET /healthz"],
        [("GET", 7)],
        [None],
    ],
    ids=["text", "one", "no slash", "small", "joined", "number", "none"],
)
def test_an_exemption_that_could_not_match_is_refused(world: World, exempt: Any) -> None:
    with pytest.raises(ConfigurationError, match="exempt="):
        Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=exempt)
