"""The Django middleware: through Django's own handlers and test clients, of both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.checks.registry import registry
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from doorward import (
    Admission,
    ConfigurationError,
    Door,
    InvokerPolicy,
    PermissionDeniedError,
    PlainRequest,
    Refusal,
    problem_details,
)
from doorward.door.refusal import RefusalStyle
from doorward_integrations.admission import ADMISSION
from doorward_integrations.django import (
    DoorwardConfig,
    InvokerMiddleware,
    check_settings,
    end_user_of,
    only,
    principal_of,
    readiness,
    service_accounts,
)
from doorward_integrations.testing import as_principal
from support.conditions import Conditions
from support.endusers import ANN, door_with_end_users, with_and_without_user
from support.tokens import MEMBER
from support.world import World

MIDDLEWARE = "doorward_integrations.django.InvokerMiddleware"
REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["doorward_integrations.django.DoorwardConfig"],
        SECRET_KEY="a secret of the tests",
    )
    django.setup()

seen: list[Any] = []
"""The requests that a view has got."""


def view(request: Any, rest: str = "") -> HttpResponse:
    seen.append(request)
    assert request.principal == principal_of(request)
    return HttpResponse(
        f"{request.principal} {request.headers.get('Authorization', '').rpartition('.')[2]}".encode()
    )


async def async_view(request: HttpRequest, rest: str = "") -> HttpResponse:
    return view(request, rest)


def broken(request: Any) -> HttpResponse:
    raise LookupError(str(request.principal))


@only(lambda principal: principal.email == "ann@example.com")
def of_ann(request: Any, number: str = "") -> HttpResponse:
    return HttpResponse(f"{request.principal} {number}".encode())


@only(members=["user:ann@example.com"])
async def async_of_ann(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.principal} ".encode())


@method_decorator(only(service_accounts), name="get")
class Services(View):
    def get(self, request: Any) -> HttpResponse:
        return HttpResponse(b"inside")


def on_behalf(request: Any) -> HttpResponse:
    return HttpResponse(f"{end_user_of(request)} by {principal_of(request)}".encode())


async def async_on_behalf(request: Any) -> HttpResponse:
    return on_behalf(request)


urlpatterns = [
    path("behalf", on_behalf),
    path("async/behalf", async_on_behalf),
    path("ann/<number>", of_ann),
    path("async/ann", async_of_ann),
    path("services", Services.as_view()),
    path("orders", view),
    path("orders/<path:rest>", view),
    path("async/orders", async_view),
    path("broken", broken),
    path("readyz", readiness),
]


def reads_headers(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware of one kind alone, that reads the headers, which Django then keeps."""

    def respond(request: Any) -> HttpResponse:
        assert request.headers is request.headers
        return get_response(request)

    return respond


Ask = Callable[..., HttpResponse]


def blocking(method: str, target: str, headers: dict[str, str]) -> HttpResponse:
    client: Any = Client(raise_request_exception=False)
    response: HttpResponse = client.generic(method, target, headers=headers)
    return response


def in_loop(method: str, target: str, headers: dict[str, str]) -> HttpResponse:
    client: Any = AsyncClient(raise_request_exception=False)
    response: HttpResponse = asyncio.run(client.generic(method, target, headers=headers))
    return response


@pytest.fixture(params=[blocking, in_loop], ids=["WSGI", "ASGI"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask the application, as both interfaces have it."""
    send: Ask = request.param
    return lambda target="/orders", headers=(), method="GET": send(method, target, dict(headers))


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token()}"}


@pytest.fixture(autouse=True)
def _application(door: Door) -> Iterator[None]:
    """An application behind the door; further settings can be set in a test."""
    seen.clear()
    with override_settings(DOORWARD_DOOR=door, MIDDLEWARE=[MIDDLEWARE], ROOT_URLCONF=__name__):
        yield


class TestOnly:
    @pytest.fixture
    def callers(self, world: World) -> Iterator[list[dict[str, str]]]:
        """The headers of no caller, of a service account, and of Ann, behind a door that admits both."""
        policy = InvokerPolicy.from_members([MEMBER, "user:ann@example.com"])
        tokens = (world.token(), world.token(email="ann@example.com", sub="7"))
        with override_settings(DOORWARD_DOOR=Door(world.verifier(), policy, style=problem_details)):
            yield [{}, *({"Authorization": f"Bearer {token}"} for token in tokens)]

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("/ann/7", [403, 403, 200]),
            ("/async/ann", [403, 403, 200]),
            ("/services", [403, 200, 403]),
        ],
    )
    def test_it_lets_in_whom_it_names(
        self, ask: Ask, callers: list[dict[str, str]], target: str, expected: list[int]
    ) -> None:
        assert expected == [ask(target, headers).status_code for headers in callers]

    def test_the_view_gets_what_it_takes(self, ask: Ask, callers: list[dict[str, str]]) -> None:
        assert "user:ann@example.com 7" == ask("/ann/7", callers[2]).text

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_the_answer_is_the_doors_own(
        self, ask: Ask, callers: list[dict[str, str]], world: World, method: str
    ) -> None:
        answer = ask("/ann/7", callers[1], method)
        body = problem_details(PermissionDeniedError("as expected"), "/ann/7").body
        assert (403, b"" if method == "HEAD" else body) == (answer.status_code, answer.content)
        assert "application/problem+json" == answer.headers["content-type"]

    @pytest.mark.parametrize("wrong", [View, None, "view"])
    def test_what_is_no_view_function_is_refused_when_it_is_decorated(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="decorates a view function"):
            only(service_accounts)(wrong)

    def test_without_a_door_it_raises(self, ask: Ask) -> None:
        with override_settings(MIDDLEWARE=[]):
            assert 500 == ask("/ann/7").status_code


class TestCors:
    """django-cors-headers itself, whose middleware stands before the door."""

    PAGE = "https://ui.example.com"

    @pytest.fixture(autouse=True)
    def _in_front(self) -> Iterator[None]:
        before = ["corsheaders.middleware.CorsMiddleware", MIDDLEWARE]
        with override_settings(MIDDLEWARE=before, CORS_ALLOWED_ORIGINS=[self.PAGE]):
            yield

    @pytest.mark.parametrize("target", ["/orders", "/async/orders", "/nowhere"])
    def test_it_answers_preflights(self, ask: Ask, target: str) -> None:
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        answer = ask(target, {"Origin": self.PAGE, **asked}, "OPTIONS")
        assert (200, self.PAGE) == (answer.status_code, answer.headers["access-control-allow-origin"])
        assert "authorization" in answer.headers["access-control-allow-headers"]

    def test_it_lets_the_page_read_refusals_and_answers(self, ask: Ask, bearer: dict[str, str]) -> None:
        bad = {"Authorization": "Bearer a.b.c"}
        answers = [ask("/orders", {"Origin": self.PAGE, **more}) for more in ({}, bad, bearer)]
        assert [(403, self.PAGE), (401, self.PAGE), (200, self.PAGE)] == [
            (one.status_code, one.headers["access-control-allow-origin"]) for one in answers
        ]

    def test_another_page_may_read_none(self, ask: Ask) -> None:
        answer = ask("/orders", {"Origin": "https://evil.example.com"})
        assert (403, None) == (answer.status_code, answer.headers.get("access-control-allow-origin"))


class TestEndUser:
    @pytest.mark.parametrize("target", ["/behalf", "/async/behalf"])
    def test_a_view_gets_the_end_user_apart_from_the_caller(
        self, ask: Ask, world: World, target: str
    ) -> None:
        with override_settings(DOORWARD_DOOR=door_with_end_users(world)):
            answers = [ask(target, headers) for headers in with_and_without_user(world)]
        assert [f"{ANN} by {MEMBER}", f"None by {MEMBER}"] == [answer.text for answer in answers]

    def test_without_a_door_there_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="needs a request"):
            end_user_of(HttpRequest())


class TestAdmitted:
    @pytest.mark.parametrize("target", ["/orders", "/orders/1", "/async/orders"])
    def test_a_view_gets_the_caller_and_the_token_without_its_signature(
        self, ask: Ask, bearer: dict[str, str], target: str
    ) -> None:
        for _ in range(2):  # the token is new, and then cached
            response = ask(target, bearer)
            assert (200, f"{MEMBER} {REMOVED}") == (response.status_code, response.text)

    def test_the_whole_token_is_nowhere_in_the_request(
        self, ask: Ask, bearer: dict[str, str], world: World
    ) -> None:
        with override_settings(MIDDLEWARE=[f"{__name__}.reads_headers", MIDDLEWARE]):
            ask("/orders", bearer)
        (request,) = seen
        signature = world.token().rpartition(".")[2]
        carriers = [
            request.META,
            request.headers,
            getattr(request, "scope", {}),
            getattr(request, "environ", {}),
        ]
        assert [] == [carrier for carrier in carriers if signature in str(carrier)]
        assert str(request.META["HTTP_AUTHORIZATION"]).endswith(REMOVED)

    def test_what_only_a_platform_may_say_is_removed(self, ask: Ask, bearer: dict[str, str]) -> None:
        ask("/orders", bearer | {"X-Goog-Authenticated-User-Email": "spoofed", "X-Shop": "open"})
        (request,) = seen
        assert (None, "open") == (
            request.headers.get("X-Goog-Authenticated-User-Email"),
            request.headers["X-Shop"],
        )
        assert "HTTP_X_GOOG_AUTHENTICATED_USER_EMAIL" not in request.META

    @pytest.mark.parametrize("credential", [True, False], ids=["a twin of the credential", "a claim"])
    def test_a_name_with_underscores_leaves_nothing_in_an_older_django(
        self, world: World, *, credential: bool
    ) -> None:
        """Before a security release, its ASGI handler read such a name as the one with hyphens."""
        name = b"x-serverless-authorization" if credential else b"x-goog-authenticated-user-email"
        good = (b"x-serverless-authorization", b"Bearer " + world.token().encode())
        spoofed = (name.replace(b"-", b"_"), b"spoofed")
        scope = {"type": "http", "method": "GET", "path": "/orders", "headers": [good, spoofed]}
        request: Any = ASGIRequest(scope, BytesIO())
        key = "HTTP_" + name.decode().upper().replace("-", "_")
        request.META[key] = f"{request.META.get(key)},spoofed"

        response: Any = InvokerMiddleware(lambda _: HttpResponse())(request)

        assert 200 == response.status_code
        assert "spoofed" not in str(request.META)
        assert credential == (key in request.META)

    def test_the_request_carries_the_admission(self, ask: Ask, bearer: dict[str, str]) -> None:
        ask("/orders", bearer)
        (request,) = seen
        carrier = getattr(request, "scope", None) or request.environ
        assert isinstance(carrier[ADMISSION], Admission)

    def test_a_path_that_is_not_there_is_not_found(self, ask: Ask, bearer: dict[str, str]) -> None:
        assert 404 == ask("/nowhere", bearer).status_code

    def test_an_error_of_a_view_is_an_error_of_the_application(
        self, ask: Ask, bearer: dict[str, str]
    ) -> None:
        assert 500 == ask("/broken", bearer).status_code

    @pytest.mark.parametrize("order", [1, -1], ids=["behind the door", "before the door"])
    def test_a_middleware_of_one_kind_may_stand_beside_it(
        self, ask: Ask, bearer: dict[str, str], order: int
    ) -> None:
        both = [MIDDLEWARE, f"{__name__}.reads_headers"][::order]
        with override_settings(MIDDLEWARE=both):
            assert [200, 403] == [ask("/orders", headers).status_code for headers in (bearer, {})]


class TestRefused:
    @pytest.mark.parametrize("target", ["/orders", "/nowhere", "/async/orders"])
    def test_a_request_without_a_token_is_refused_to_the_byte(
        self, ask: Ask, door: Door, target: str
    ) -> None:
        refusal = door.admit([], PlainRequest(target))
        assert isinstance(refusal, Refusal)
        response = ask(target)
        assert (403, refusal.body) == (response.status_code, response.content)
        expected = {name.decode(): value.decode() for name, value in refusal.headers}
        assert expected == {name.lower(): value for name, value in response.items()}
        assert [] == seen

    def test_a_head_is_refused_without_a_body(self, ask: Ask) -> None:
        response = ask(method="HEAD")
        assert (403, b"", True) == (response.status_code, response.content, "content-length" in response)

    def test_a_bad_token_is_unauthorized(self, ask: Ask, bearer: dict[str, str]) -> None:
        response = ask("/orders", {"Authorization": bearer["Authorization"][:-8] + "AAAAAAAA"})
        assert (401, True) == (response.status_code, "www-authenticate" in response)

    def test_keys_that_are_away_are_unavailable(self, ask: Ask, world: World, bearer: dict[str, str]) -> None:
        world.endpoint.down()
        response = ask("/orders", bearer)
        assert (503, True) == (response.status_code, "retry-after" in response)

    def test_a_style_of_an_own_answers_as_it_says(self, ask: Ask, world: World) -> None:
        def bare(error: Any, _path: str) -> Refusal:
            return Refusal(418, ((b"x-why", b"tea"),), b"", error.reason, error)

        style: RefusalStyle = bare
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=style)
        with override_settings(DOORWARD_DOOR=door):
            response = ask()
        assert (418, {"x-why": "tea"}) == (response.status_code, dict(response.items()))


class TestPaths:
    @pytest.mark.parametrize(("target", "status"), [("/orders/k%C3%A4se", 200), ("/orders/other", 403)])
    def test_a_condition_sees_a_path_beyond_ascii(
        self, world: World, bearer: dict[str, str], monkeypatch: Any, target: str, status: int
    ) -> None:
        """Django writes the decoded path into the environ. Its client for ASGI makes no such paths."""
        with override_settings(DOORWARD_DOOR=conditional(world, monkeypatch, "/orders/käse")):
            assert status == blocking("GET", target, bearer).status_code

    def test_a_condition_sees_what_a_proxy_cuts_off(
        self, ask: Ask, world: World, bearer: dict[str, str], monkeypatch: Any
    ) -> None:
        door = conditional(world, monkeypatch, "/api/orders")
        with override_settings(DOORWARD_DOOR=door, DOORWARD_PUBLIC_PREFIX="/api"):
            assert 200 == ask("/orders", bearer).status_code

    def test_a_forced_script_name_does_not_hide_a_path(
        self, ask: Ask, world: World, bearer: dict[str, str], monkeypatch: Any
    ) -> None:
        """With it, the view of ``/orders`` can answer ``/shop/orders`` too, and both must be granted."""
        door = conditional(world, monkeypatch, "/shop/orders")
        with override_settings(DOORWARD_DOOR=door, FORCE_SCRIPT_NAME="/shop"):
            assert 403 == ask("/shop/orders", bearer).status_code


def conditional(world: World, monkeypatch: pytest.MonkeyPatch, allowed: str) -> Door:
    """Return a door that admits to one path."""
    Conditions.install(monkeypatch)
    condition = {"expression": f"request.path == '{allowed}'", "title": "one path"}
    binding = {"role": "roles/run.invoker", "members": [MEMBER], "condition": condition}
    return Door(world.verifier(), InvokerPolicy.from_dict({"version": 3, "bindings": [binding]}))


named_door: Any = None


class TestReadiness:
    @pytest.mark.parametrize(("warm", "exempt", "status"), [(True, 1, 200), (False, 1, 503), (True, 0, 403)])
    def test_a_probe_is_answered_where_the_door_exempts_it(
        self, world: World, *, warm: bool, exempt: int, status: int
    ) -> None:
        probes = [("GET", "/readyz")][:exempt]
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=probes)
        if warm:
            door.verifier.warm()
        else:
            world.endpoint.down()
        with override_settings(DOORWARD_DOOR=door):
            response = blocking("GET", "/readyz", {})
        kind = "application/json" if exempt else "text/html; charset=UTF-8"
        assert (status, kind) == (response.status_code, response["content-type"])


class TestSettings:
    def test_the_door_may_be_named(
        self, ask: Ask, door: Door, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(globals(), "named_door", door)
        with override_settings(DOORWARD_DOOR=f"{__name__}.named_door"):
            assert [200, 403] == [ask("/orders", headers).status_code for headers in (bearer, {})]

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            (None, "DOORWARD_DOOR must be a Door, or where it is, such as"),
            (7, "not int"),
            ("nowhere.at.all", "DOORWARD_DOOR='nowhere.at.all' cannot be imported"),
            (f"{__name__}.named_door", "not NoneType"),
        ],
    )
    def test_without_a_door_nothing_is_served(self, setting: Any, message: str) -> None:
        with override_settings(DOORWARD_DOOR=setting), pytest.raises(ConfigurationError, match=message):
            InvokerMiddleware(lambda _: HttpResponse())

    def test_a_prefix_that_is_no_path_is_a_mistake(self) -> None:
        with override_settings(DOORWARD_PUBLIC_PREFIX="api"), pytest.raises(ConfigurationError):
            InvokerMiddleware(lambda _: HttpResponse())

    @pytest.mark.parametrize(
        ("changed", "found"),
        [
            ({}, []),
            ({"MIDDLEWARE": []}, ["doorward.E001"]),
            ({"MIDDLEWARE": [MIDDLEWARE, MIDDLEWARE]}, ["doorward.E001"]),
            ({"MIDDLEWARE": ["corsheaders.middleware.CorsMiddleware", MIDDLEWARE]}, []),
            ({"MIDDLEWARE": ["shop.Any", MIDDLEWARE]}, ["doorward.W001"]),
            ({"DOORWARD_DOOR": "nowhere.at.all"}, ["doorward.E002"]),
            ({"DOORWARD_PUBLIC_PREFIX": "api"}, ["doorward.E002"]),
        ],
    )
    def test_a_check_says_what_is_wrong(self, changed: dict[str, Any], found: list[str]) -> None:
        with override_settings(**changed):
            assert found == [message.id for message in check_settings()]

    def test_the_application_adds_the_check(self) -> None:
        checks: set[Any] = set(registry.get_checks())
        assert check_settings in checks
        assert "doorward" == DoorwardConfig.label


def test_the_kit_makes_the_caller_of_both_test_clients(world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    blocking_client, client = Client(), AsyncClient()
    with override_settings(DOORWARD_DOOR=door):
        with as_principal(blocking_client, MEMBER.partition(":")[2]):
            assert MEMBER == blocking_client.get("/orders").content.decode().split()[0]
        with as_principal(client, MEMBER.partition(":")[2]):
            answer: Any = asyncio.run(client.get("/orders"))
            assert MEMBER == answer.content.decode().split()[0]
        after: Any = asyncio.run(client.get("/orders"))
        assert 403 == after.status_code
