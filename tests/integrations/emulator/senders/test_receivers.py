"""Every sender, over HTTP, into the ready-made door of `doorward.senders`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from asgiref.wsgi import WsgiToAsgi
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from doorward import senders as doors
from doorward.door.door import Door
from doorward_integrations.asgi import InvokerMiddleware, principal_of
from doorward_integrations.emulator import Emulator, LoopbackServer
from doorward_integrations.emulator.senders import (
    CloudScheduler,
    CloudTasks,
    Delivery,
    Dispatcher,
    Eventarc,
    PubSubPush,
    Workflows,
    tokens_of_issuer,
)
from support.receiver import ACCOUNT, AUDIENCE

OTHER = "other@orders.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Emulator, str]]:
    """Return an emulator, and where it publishes its keys."""
    emulator = Emulator()
    with emulator.serve() as server:
        yield emulator, server.host


async def events(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse({"caller": str(principal_of(request))})


def guarded(door: Door) -> ASGIApp:
    app: ASGIApp = Starlette(routes=[Route("/events", events, methods=["POST"])])
    return InvokerMiddleware(app, door)


def by_pubsub(dispatcher: Dispatcher, url: str, account: str) -> Delivery:
    return PubSubPush(dispatcher=dispatcher, service_account=account, audience=AUDIENCE).send(url, b"hello")


def by_tasks(dispatcher: Dispatcher, url: str, account: str) -> Delivery:
    return CloudTasks(dispatcher=dispatcher, service_account=account, audience=AUDIENCE).send(url, b"hello")


def by_scheduler(dispatcher: Dispatcher, url: str, account: str) -> Delivery:
    return CloudScheduler(dispatcher=dispatcher, service_account=account, audience=AUDIENCE).send(url)


def by_eventarc(dispatcher: Dispatcher, url: str, account: str) -> Delivery:
    return Eventarc(dispatcher=dispatcher, service_account=account, audience=AUDIENCE).send_message(
        url, b"hi"
    )


def by_workflows(dispatcher: Dispatcher, url: str, account: str) -> Delivery:
    return Workflows(dispatcher=dispatcher, service_account=account, audience=AUDIENCE).send(url, {"a": 1})


def door_for(kind: str) -> Door:
    if kind in ("eventarc", "workflows"):
        return getattr(doors, kind)(ACCOUNT, audience=AUDIENCE).door()  # type: ignore[no-any-return]  # by name
    return getattr(doors, kind)(AUDIENCE, ACCOUNT).door()  # type: ignore[no-any-return]  # by name


@pytest.mark.parametrize(
    ("kind", "send"),
    [
        ("pubsub_push", by_pubsub),
        ("cloud_tasks", by_tasks),
        ("cloud_scheduler", by_scheduler),
        ("eventarc", by_eventarc),
        ("workflows", by_workflows),
    ],
)
def test_the_door_of_a_sender_admits_what_it_sends_and_no_other_account(
    kind: str,
    send: Callable[[Dispatcher, str, str], Delivery],
    running: tuple[Emulator, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emulator, host = running
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", host)
    dispatcher = Dispatcher(tokens_of_issuer(emulator.issuer), attempts=1)
    with LoopbackServer(guarded(door_for(kind))) as service:
        admitted = send(dispatcher, f"{service.url}/events", ACCOUNT)
        refused = send(dispatcher, f"{service.url}/events", OTHER)

    assert (True, f'{{"caller":"serviceAccount:{ACCOUNT}"}}'.encode()) == (
        admitted.delivered,
        admitted.attempts[0].answer,
    )
    assert (False, 403) == (refused.delivered, refused.attempts[0].status)


FUNCTION = """
import functions_framework

@functions_framework.cloud_event
def receive(event):
    assert "google.cloud.pubsub.topic.v1.messagePublished" == event["type"]
    assert "aGVsbG8=" == event.data["message"]["data"]
"""


def test_the_functions_framework_understands_what_eventarc_sends(tmp_path: Path) -> None:
    source = tmp_path / "main.py"
    source.write_text(FUNCTION)
    app: Any = functions_framework.create_app("receive", str(source), "cloudevent")  # type: ignore[no-untyped-call]  # has no types
    dispatcher = Dispatcher(lambda *_: "token", attempts=1)
    served: Any = WsgiToAsgi(app)  # type: ignore[no-untyped-call]  # has no types
    with LoopbackServer(served) as service:
        trigger = Eventarc(dispatcher=dispatcher, audience=AUDIENCE)
        good = trigger.send_message(f"{service.url}/", b"hello")
        other = trigger.send_message(f"{service.url}/", b"another")

    assert [200] == [one.status for one in good.attempts]
    assert [500] == [one.status for one in other.attempts]
