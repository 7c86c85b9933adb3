"""The door in front of a Flask application: everything it does is behind it."""

from __future__ import annotations

import doctest
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from flask import Blueprint, Flask, Response, g, request, stream_with_context

from doorward import Admission, ConfigurationError, Door, InvokerPolicy, PlainRequest, Principal, Refusal
from doorward_integrations.admission import ADMISSION
from doorward_integrations.flask import Invoker, current_principal, principal_of
from support.servers import waitress
from support.tokens import CALLER, MEMBER
from support.world import World

BEARER = "Authorization"


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> dict[str, str]:
    return {BEARER: f"Bearer {world.token()}"}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """An application without a door, yet; what its hooks see is in its extensions."""
    (tmp_path / "page.txt").write_text("static")
    app = Flask("orders", static_folder=str(tmp_path), static_url_path="/static")
    seen: list[str] = []
    app.extensions["seen"] = seen

    @app.before_request
    def early() -> None:
        seen.append(f"{request.path} {current_principal}")

    @app.get("/orders")
    def orders() -> str:
        assert current_principal == principal_of(request) == principal_of(request.environ)
        return f"{current_principal} {g.principal}"

    @app.get("/headers")
    def headers() -> str:
        return request.headers["Authorization"].rpartition(".")[2]

    @app.get("/stream")
    def stream() -> Response:
        def lines() -> Iterator[str]:
            yield f"{current_principal}\n"
            yield f"{g.principal}\n"

        return Response(stream_with_context(lines()))

    @app.post("/echo")
    def echo() -> bytes:
        return request.get_data()

    @app.get("/boom")
    def boom() -> str:
        raise LookupError

    @app.errorhandler(LookupError)
    def broken(error: LookupError) -> tuple[str, int]:
        return f"{g.principal}", 500

    @app.errorhandler(404)
    def missing(error: Exception) -> tuple[str, int]:
        return f"nothing for {g.principal}", 404

    app.register_blueprint(_shop(seen))
    return app


def _shop(seen: list[str]) -> Blueprint:
    shop = Blueprint("shop", "shop", url_prefix="/shop")

    @shop.before_request
    def in_shop() -> None:
        seen.append(f"shop {g.principal}")

    @shop.get("/items")
    def items() -> str:
        return str(current_principal)

    return shop


@pytest.fixture
def guarded(app: Flask, door: Door) -> Flask:
    Invoker(app, door)
    return app


class TestAdmitted:
    @pytest.mark.parametrize(
        ("path", "status", "text"),
        [
            pytest.param("/orders", 200, f"{MEMBER} {MEMBER}", id="a route"),
            pytest.param("/headers", 200, "SIGNATURE_REMOVED_BY_GOOGLE", id="the replaced signature"),
            pytest.param("/stream", 200, f"{MEMBER}\n{MEMBER}\n", id="a stream"),
            pytest.param("/boom", 500, MEMBER, id="an error handler"),
            pytest.param("/nowhere", 404, f"nothing for {MEMBER}", id="a page that is not there"),
            pytest.param("/shop/items", 200, MEMBER, id="a blueprint"),
            pytest.param("/static/page.txt", 200, "static", id="a static file"),
        ],
    )
    def test_the_caller_is_available_everywhere(
        self, guarded: Flask, bearer: dict[str, str], path: str, status: int, text: str
    ) -> None:
        answer = guarded.test_client().get(path, headers=bearer, buffered=True)
        assert (status, text) == (answer.status_code, answer.text)

    def test_hooks_that_were_registered_before_the_door_get_the_caller(
        self, guarded: Flask, bearer: dict[str, str]
    ) -> None:
        guarded.test_client().get("/shop/items", headers=bearer)
        assert [f"/shop/items {MEMBER}", f"shop {MEMBER}"] == guarded.extensions["seen"]

    def test_the_body_arrives(self, guarded: Flask, bearer: dict[str, str]) -> None:
        assert b"order" == guarded.test_client().post("/echo", headers=bearer, data=b"order").data

    def test_current_principal_stands_for_the_principal(self, guarded: Flask, bearer: dict[str, str]) -> None:
        with guarded.test_client() as client:
            client.get("/orders", headers=bearer)
            assert isinstance(current_principal, Principal)
            assert (CALLER, MEMBER) == (current_principal.email, current_principal.member)
            assert current_principal == g.principal

    def test_the_environ_carries_the_admission(self, guarded: Flask, bearer: dict[str, str]) -> None:
        with guarded.test_client() as client:
            client.get("/orders", headers=bearer)
            assert isinstance(request.environ[ADMISSION], Admission)

    def test_one_request_does_not_see_the_caller_of_another(self, world: World, app: Flask) -> None:
        Invoker(app, Door(world.verifier(), InvokerPolicy.all_authenticated_users()))
        client = app.test_client()
        callers = [f"{name}@doorward-test.iam.gserviceaccount.com" for name in ("one", "two")]
        answers = [
            client.get("/orders", headers={BEARER: f"Bearer {world.token(email=email)}"}).text
            for email in callers
        ]
        assert [f"serviceAccount:{email} serviceAccount:{email}" for email in callers] == answers

    def test_a_public_door_admits_a_request_as_anonymous(self, world: World, app: Flask) -> None:
        Invoker(app, Door(world.verifier(), InvokerPolicy.all_users()))
        assert "anonymous anonymous" == app.test_client().get("/orders").text


class TestRefused:
    @pytest.mark.parametrize(
        "path", ["/orders", "/nowhere", "/shop/items", "/static/page.txt", "/static/none", "/boom"]
    )
    def test_nothing_is_done_and_the_answer_is_the_doors_to_the_byte(
        self, guarded: Flask, door: Door, path: str
    ) -> None:
        answer = guarded.test_client().get(path)
        expected = door.admit([], PlainRequest(path))
        assert isinstance(expected, Refusal)
        assert (403, expected.body) == (answer.status_code, answer.data)
        assert [(name.decode(), value.decode()) for name, value in expected.headers] == [
            (name.lower(), value) for name, value in answer.headers.items()
        ]
        assert [] == guarded.extensions["seen"]

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "TRACE"])
    def test_every_method_is_refused(self, guarded: Flask, method: str) -> None:
        answer = guarded.test_client().open("/orders", method=method)
        assert (403, method == "HEAD") == (answer.status_code, answer.data == b"")
        assert [] == guarded.extensions["seen"]

    def test_a_bad_token_is_refused_with_401(self, guarded: Flask, world: World) -> None:
        headers = {BEARER: f"Bearer {world.token(aud='https://other')}"}
        assert 401 == guarded.test_client().get("/orders", headers=headers).status_code

    def test_where_the_keys_are_away_it_is_503(self, guarded: Flask, world: World, bearer: Any) -> None:
        world.endpoint.down(retry_after=2)
        answer = guarded.test_client().get("/orders", headers=bearer)
        assert (503, "2") == (answer.status_code, answer.headers["Retry-After"])


class TestSetup:
    def test_init_app_guards_as_the_constructor_does(
        self, app: Flask, door: Door, bearer: dict[str, str]
    ) -> None:
        Invoker(door=door).init_app(app)
        client = app.test_client()
        assert [403, 200] == [client.get("/orders", headers=h).status_code for h in ({}, bearer)]

    def test_one_invoker_guards_several_applications(self, door: Door, bearer: dict[str, str]) -> None:
        invoker = Invoker(door=door)
        for name in ("one", "two"):
            app = Flask(name)
            app.add_url_rule("/", view_func=lambda: str(g.principal))
            invoker.init_app(app)
            client = app.test_client()
            assert 403 == client.get("/").status_code
            assert MEMBER == client.get("/", headers=bearer).text

    def test_a_route_that_is_added_later_is_guarded_too(self, guarded: Flask, bearer: dict[str, str]) -> None:
        guarded.add_url_rule("/late", view_func=lambda: str(current_principal))
        client = guarded.test_client()
        assert 403 == client.get("/late").status_code
        assert MEMBER == client.get("/late", headers=bearer).text

    def test_a_middleware_around_the_door_still_works(self, guarded: Flask, bearer: dict[str, str]) -> None:
        inner = guarded.wsgi_app

        def outer(environ: Any, start_response: Any) -> Any:
            environ["outer"] = True
            return inner(environ, start_response)

        guarded.wsgi_app = outer  # type: ignore[method-assign]  # as Flask documents it
        with guarded.test_client() as client:
            assert 200 == client.get("/orders", headers=bearer).status_code
            assert request.environ["outer"] is True

    def test_a_second_door_is_refused(self, guarded: Flask, door: Door) -> None:
        with pytest.raises(ConfigurationError, match="has a door already"):
            Invoker(guarded, door)

    @pytest.mark.parametrize("wrong", [None, "door"])
    def test_without_a_door_it_is_not_made(self, app: Flask, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="needs a Door"):
            Invoker(app, wrong)


class TestOutside:
    """Outside of a request `current_principal` is unbound, as the proxies of Flask itself."""

    def test_outside_of_a_request_there_is_no_caller(self) -> None:
        with pytest.raises(RuntimeError, match="outside of request context") as of_ours:
            str(current_principal.member)
        with pytest.raises(RuntimeError) as of_flask:
            str(request.method)
        assert str(of_flask.value) == str(of_ours.value)
        assert not isinstance(of_ours.value, ConfigurationError)

    def test_in_an_application_context_alone_there_is_no_caller(self, guarded: Flask) -> None:
        with guarded.app_context(), pytest.raises(RuntimeError, match="outside of request context"):
            str(current_principal.member)
        with guarded.app_context():
            assert not isinstance(current_principal, Principal)

    @pytest.mark.parametrize(
        "look",
        [
            pytest.param(lambda proxy, _: isinstance(proxy, Principal), id="isinstance"),
            pytest.param(lambda proxy, _: bool(proxy), id="bool"),
            pytest.param(lambda proxy, _: repr(proxy), id="repr"),
            pytest.param(lambda proxy, _: dir(proxy), id="dir"),
            pytest.param(lambda proxy, _: inspect.isclass(proxy), id="inspect.isclass"),
            pytest.param(
                lambda _, module: inspect.getmembers(module, inspect.isclass), id="inspect.getmembers"
            ),
            pytest.param(lambda _, module: doctest.DocTestFinder().find(module), id="doctest"),
        ],
    )
    def test_what_looks_at_every_name_of_a_module_finds_the_same_as_of_a_proxy_of_flask(
        self, look: Callable[[Any, Any], object]
    ) -> None:
        assert look(request, module_of(request)) == look(current_principal, module_of(current_principal))

    def test_what_looks_at_the_names_of_every_module_does_not_fail_on_it(self) -> None:
        """As gevent does when it replaces locks in the modules that are loaded already."""
        names = vars(sys.modules[Invoker.__module__])
        assert any(one is current_principal for one in names.values())
        assert [] == [name for name, one in names.items() if isinstance(one, Principal)]

    def test_without_a_door_in_front_there_is_no_caller(self, app: Flask) -> None:
        with app.test_request_context("/orders"), pytest.raises(ConfigurationError, match="Invoker"):
            str(current_principal.member)

    def test_a_request_that_went_round_the_door_gets_nothing(self, guarded: Flask) -> None:
        """As in a test that makes a request context: hooks raise before any view runs."""
        with guarded.test_request_context("/orders"), pytest.raises(ConfigurationError):
            guarded.full_dispatch_request()


def module_of(proxy: object) -> ModuleType:
    module = ModuleType("views")
    vars(module)["proxy"] = proxy
    return module


def test_behind_a_real_server(guarded: Flask, door: Door, bearer: dict[str, str]) -> None:
    expected = door.admit([], PlainRequest("/orders"))
    assert isinstance(expected, Refusal)
    with waitress(guarded) as base:
        refused = httpx.get(f"{base}/orders")
        admitted = httpx.get(f"{base}/orders", headers=bearer)
    assert (403, expected.body) == (refused.status_code, refused.content)
    assert (200, f"{MEMBER} {MEMBER}") == (admitted.status_code, admitted.text)
