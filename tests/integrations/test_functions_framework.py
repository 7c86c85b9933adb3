"""The door in front of functions: in each of the four modes of the Functions Framework, as it loads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import functions_framework
import pytest
from flask.testing import FlaskClient
from functions_framework import _function_registry as registry
from functions_framework.aio import create_asgi_app
from starlette.testclient import TestClient

from doorward import ConfigurationError, Door, InvokerPolicy, PermissionDeniedError, Refusal
from doorward.door.refusal import cloud_run
from doorward_integrations import functions_framework as adapter
from doorward_integrations.functions_framework import (
    current_principal,
    guard_functions,
    guarded_cloud_event,
    guarded_http,
    only,
    service_accounts,
)
from support.endusers import ANN, door_with_end_users, with_and_without_user
from support.tokens import MEMBER
from support.world import World

IMPORTS = """
import flask
import functions_framework
from doors_of_the_test import door
from doorward_integrations.functions_framework import *
from doorward_integrations.functions_framework import principal_of
"""

SOURCES = {
    "http": """
guard_functions(door)
@functions_framework.http
def handle(request):
    assert current_principal() == principal_of(request)
    return f"{current_principal()} {request.headers.get('authorization', '').rpartition('.')[2]}"
""",
    "cloud event": """
guard_functions(door)
@functions_framework.cloud_event
def handle(event):
    print(current_principal(), event["id"])
""",
    "async http": """
@guarded_http(door)
async def handle(request):
    assert current_principal() == principal_of(request)
    return f"{current_principal()} {request.headers.get('authorization', '').rpartition('.')[2]}"
""",
    "async cloud event": """
@guarded_cloud_event(door)
async def handle(event):
    print(current_principal(), event["id"])
""",
    "http in a thread": """
@guarded_http(door)
def handle(request):
    assert current_principal() == principal_of(request)
    return f"{current_principal()} {request.headers.get('authorization', '').rpartition('.')[2]}"
""",
    "cloud event in a thread": """
@guarded_cloud_event(door)
def handle(event):
    print(current_principal(), event["id"])
""",
}

EVENT = {
    "ce-id": "e-1",
    "ce-source": "//pubsub.googleapis.com/projects/shop/topics/orders",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    "content-type": "application/json",
}

in_every_mode = pytest.mark.parametrize("mode", list(SOURCES))
of_events = pytest.mark.parametrize("mode", [mode for mode in SOURCES if "event" in mode])
of_requests = pytest.mark.parametrize("mode", [mode for mode in SOURCES if "event" not in mode])


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> dict[str, str]:
    return {"authorization": f"Bearer {world.token()}"}


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch, door: Door) -> Iterator[None]:
    """Put back what the framework keeps in its modules and in the environment."""
    monkeypatch.setattr(registry, "ASGI_FUNCTIONS", set())
    monkeypatch.setattr(registry, "REGISTRY_MAP", {})
    monkeypatch.setattr(adapter, "_guarded", set())
    monkeypatch.setattr(sys, "path", list(sys.path))
    doors: Any = ModuleType("doors_of_the_test")
    doors.door = door
    monkeypatch.setitem(sys.modules, "doors_of_the_test", doors)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    sys.modules.pop("function_of_the_test", None)


class Service:
    """A function, loaded by the framework."""

    def __init__(self, folder: Path, source: str, **options: Any) -> None:
        path = folder / "function_of_the_test.py"
        path.write_text(IMPORTS + source)
        options = {"target": "handle", **options}
        create: Any = functions_framework.create_app
        app = create(source=str(path), **options)
        self.client: Any = app.test_client() if isinstance(app, flask.Flask) else TestClient(app)

    def post(self, headers: dict[str, str], body: bytes = b"{}") -> tuple[int, str]:
        data = {"data": body} if isinstance(self.client, FlaskClient) else {"content": body}
        answer = self.client.post("/", headers=headers, **data)
        return answer.status_code, answer.text

    def get(self, headers: dict[str, str]) -> int:
        status: int = self.client.get("/", headers=headers).status_code
        return status


@pytest.fixture
def service(mode: str, tmp_path: Path) -> Service:
    return Service(tmp_path, SOURCES[mode])


@in_every_mode
class TestEveryMode:
    def test_a_request_without_a_token_is_refused_to_the_byte(self, service: Service, door: Door) -> None:
        refusal = door.admit([])
        assert isinstance(refusal, Refusal)
        assert (403, refusal.body.decode()) == service.post(EVENT)

    def test_what_is_no_event_is_refused_before_it_is_parsed(self, service: Service) -> None:
        status, text = service.post({"content-type": "application/json"}, b"no event")
        assert (403, False) == (status, "CloudEvent" in text)

    def test_a_bad_token_is_unauthorized(self, service: Service, bearer: dict[str, str]) -> None:
        bad = {"authorization": bearer["authorization"][:-8] + "AAAAAAAA"}
        assert 401 == service.post(EVENT | bad)[0]

    def test_keys_that_are_away_are_unavailable(
        self, service: Service, world: World, bearer: dict[str, str]
    ) -> None:
        world.endpoint.down()
        assert 503 == service.post(EVENT | bearer)[0]

    def test_a_get_is_refused_too(self, service: Service) -> None:
        assert 403 == service.get({})


@of_requests
def test_a_function_gets_its_request_with_the_caller_and_without_the_signature(
    service: Service, bearer: dict[str, str]
) -> None:
    for _ in range(2):  # the token is new, and then cached
        assert (200, f"{MEMBER} SIGNATURE_REMOVED_BY_GOOGLE") == service.post(bearer)


class TestEvents:
    @of_events
    def test_a_function_gets_its_event_and_the_caller(
        self, service: Service, bearer: dict[str, str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert (200, "OK") == service.post(EVENT | bearer)
        assert f"{MEMBER} e-1\n" == capfd.readouterr().out

    @of_events
    def test_what_is_no_event_is_a_bad_request_of_an_admitted_caller(
        self, service: Service, bearer: dict[str, str]
    ) -> None:
        no_event = {"content-type": "application/json"}
        assert [403, 400] == [service.post(sent | no_event, b"x")[0] for sent in ({}, bearer)]

    @of_events
    def test_an_admitted_get_is_no_allowed_method(self, service: Service, bearer: dict[str, str]) -> None:
        assert 405 == service.get(bearer)

    @of_events
    @pytest.mark.parametrize("option", [None, "cloudevent", "http"])
    def test_what_is_deployed_with_a_signature_type_stays_as_it_is(
        self,
        mode: str,
        option: str | None,
        tmp_path: Path,
        bearer: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("FUNCTION_SIGNATURE_TYPE", "cloudevent")
        service = Service(tmp_path, SOURCES[mode], signature_type=option)
        assert (200, "OK") == service.post(EVENT | bearer)
        assert 403 == service.post(EVENT)[0]

    def test_a_function_without_a_decorator_is_guarded_by_the_one_line(
        self, tmp_path: Path, bearer: dict[str, str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        source = "guard_functions(door)\ndef handle(event):\n    print(current_principal())\n"
        service = Service(tmp_path, source, signature_type="cloudevent")
        assert [403, 200] == [service.post(EVENT)[0], service.post(EVENT | bearer)[0]]
        assert f"{MEMBER}\n" == capfd.readouterr().out


FOR_ANN = '@only(members=["user:ann@example.com"])\n'
TYPED = """
guard_functions(door)
class Order:
    def __init__(self, number): self.number = number
    @staticmethod
    def from_dict(data): return Order(data["number"])
@functions_framework.typed(Order)
def handle(order):
    print(current_principal(), order.number)
"""


def narrowed_in(source: str) -> str:
    """Put `only` below the decorator that makes the function."""
    for begins in ("async def", "def handle"):
        if f"\n{begins}" in source:
            before, _, after = source.rpartition(f"\n{begins}")
            return f"{before}\n{FOR_ANN}{begins}{after}"
    raise AssertionError(source)


class TestOnly:
    @pytest.fixture
    def door(self, world: World) -> Door:
        return Door(world.verifier(), InvokerPolicy.from_members([MEMBER, ANN]))

    @pytest.fixture
    def ann(self, world: World) -> dict[str, str]:
        return {"authorization": f"Bearer {world.token(email='ann@example.com', sub='7')}"}

    @in_every_mode
    def test_a_function_lets_in_whom_it_names(
        self,
        mode: str,
        tmp_path: Path,
        bearer: dict[str, str],
        ann: dict[str, str],
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        service = Service(tmp_path, narrowed_in(SOURCES[mode]))
        refused = service.post(EVENT | bearer)
        assert MEMBER not in capfd.readouterr().out

        status, text = service.post(EVENT | ann)
        assert (200, True) == (status, ANN in text + capfd.readouterr().out)
        assert (403, cloud_run(PermissionDeniedError("as expected"), "/").body.decode()) == refused

    def test_a_typed_function_is_not_called_for_others(
        self, tmp_path: Path, bearer: dict[str, str], ann: dict[str, str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        service = Service(tmp_path, narrowed_in(TYPED))
        body, kind = b'{"number": 7}', {"content-type": "application/json"}
        assert [500, 200] == [service.post(one | kind, body)[0] for one in (bearer, ann)]
        assert f"{ANN} 7\n" == capfd.readouterr().out

    @pytest.mark.parametrize("mode", ["async http", "async cloud event"])
    def test_above_the_decorator_of_the_door_it_lets_none_in(
        self, mode: str, tmp_path: Path, ann: dict[str, str]
    ) -> None:
        source = SOURCES[mode].replace("@guarded", f"{FOR_ANN}@guarded")
        assert 500 == Service(tmp_path, source).post(EVENT | ann)[0]

    def test_without_a_door_it_raises(self) -> None:
        with pytest.raises(ConfigurationError, match=r"put guard_functions\(door\)"):
            only(service_accounts)(lambda event: None)("event")


@pytest.mark.parametrize("mode", ["http", "async http", "http in a thread"])
def test_a_function_gets_the_end_user_apart_from_the_caller(mode: str, tmp_path: Path, world: World) -> None:
    sys.modules["doors_of_the_test"].door = door_with_end_users(world)  # type: ignore[attr-defined]
    source, _, _ = SOURCES[mode].partition("    assert")
    source = f'{source}    return f"{{end_user_of(request)}} by {{principal_of(request)}}"\n'
    service = Service(tmp_path, source)
    expected = [(200, f"{ANN} by {MEMBER}"), (200, f"None by {MEMBER}")]
    assert expected == [service.post(sent) for sent in with_and_without_user(world)]


GUARDED = "guard_functions(door)\n"
UNGUARDED = """
import functions_framework.aio
@functions_framework.aio.http
async def handle(request):
    return "in"
"""
BOTH = f"""
{GUARDED}
@functions_framework.http
def handle(request):
    return f"sync {{current_principal()}}"

@guarded_http(door)
async def handle_too(request):
    return f"async {{current_principal()}}"
"""


class TestMistakes:
    @pytest.mark.parametrize("source", [GUARDED + UNGUARDED, UNGUARDED + GUARDED], ids=["before", "after"])
    def test_an_asynchronous_function_is_not_left_without_a_door(self, tmp_path: Path, source: str) -> None:
        with pytest.raises(ConfigurationError, match="cannot guard 'handle', a function of functions_framew"):
            Service(tmp_path, source)

    @pytest.mark.parametrize(("target", "kind"), [("handle", "sync"), ("handle_too", "async")])
    def test_a_module_may_have_guarded_functions_of_both_kinds(
        self, tmp_path: Path, bearer: dict[str, str], target: str, kind: str
    ) -> None:
        service = Service(tmp_path, BOTH, target=target)
        assert (200, f"{kind} {MEMBER}") == service.post(bearer)
        assert 403 == service.post({})[0]

    def test_with_asgi_asked_for_the_one_line_says_what_to_do(self, tmp_path: Path) -> None:
        path = tmp_path / "function_of_the_test.py"
        path.write_text(IMPORTS + SOURCES["http"])
        create: Any = create_asgi_app
        with pytest.raises(ConfigurationError, match="without its option --asgi; decorate functions of"):
            create("handle", str(path))

    @pytest.mark.parametrize("put", [guarded_http, guarded_cloud_event, guard_functions])
    def test_a_door_must_be_given(self, put: Any, world: World) -> None:
        with flask.Flask("handle").app_context(), pytest.raises(ConfigurationError, match="needs a Door"):
            put(world.verifier())

    def test_outside_of_a_request_there_is_no_caller(self) -> None:
        with pytest.raises(ConfigurationError, match="no door has decided"):
            current_principal()
