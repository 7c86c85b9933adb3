"""The second half of ``doorward demo``: functions that call each other, and one that events call.

Function A fetches its token from the metadata server with Google's own client, and calls function B behind a
door that follows the policy of B in the emulator. What A may do is set by ``setIamPolicy``, over HTTP. The
third function is called by a Pub/Sub subscription, and by no other caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx

from doorward import Door, Verifier
from doorward.extras import needs_extra
from doorward.senders import pubsub_push
from doorward_integrations.emulator import DEFAULT_ACCOUNT, EmulatedPolicy, LoopbackServer, RunningEmulator
from doorward_integrations.emulator.senders import Delivery, Dispatcher, PubSubPush, tokens_of_issuer

with needs_extra("demo"):
    from fastapi import FastAPI, Request, Response

    from doorward_integrations.fastapi import Invoker

__all__ = ["DemonstratedRow", "function_rows"]

_FUNCTION_B: Final = "projects/doorward-demo/locations/europe-west1/functions/b"
_AUDIENCE_B: Final = "https://b-1234567890.europe-west1.run.app"
_AUDIENCE_EVENTS: Final = "https://events-1234567890.europe-west1.run.app"
_PUSHER: Final = "pusher@doorward-demo.iam.gserviceaccount.com"
_INVOKER: Final = "roles/run.invoker"

DemonstratedRow = tuple[str, str, str]
"""A request, the expected answer, and the one that was seen."""


def _function_a(fetch: Callable[[str], str], url_of_b: str) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def call_b() -> dict[str, Any]:
        headers = {"authorization": f"Bearer {fetch(_AUDIENCE_B)}"}
        answer = httpx.get(f"{url_of_b}/", headers=headers, trust_env=False)
        return {"status": answer.status_code, "said": answer.json() if answer.is_success else None}

    return app


def _function_b() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def greet() -> str:
        return "hello from b"

    Invoker(app, Door(Verifier(_AUDIENCE_B), EmulatedPolicy(_FUNCTION_B)))
    return app


def _event_function(received: list[str]) -> FastAPI:
    app = FastAPI()

    @app.post("/", status_code=204)
    async def receive(request: Request) -> Response:
        received.append((await request.json())["message"]["messageId"])
        return Response(status_code=204)

    Invoker(app, pubsub_push(_AUDIENCE_EVENTS, _PUSHER).door())
    return app


def function_rows(
    running: RunningEmulator, fetch: Callable[[str], str], last_reason: Callable[[], str]
) -> Iterator[DemonstratedRow]:
    """Have functions call each other, and an event arrive.

    Args:
        running: The emulator, to which the environment leads already.
        fetch: Google's client: fetches a token for an audience from the metadata server.
        last_reason: Returns the reason of the last refusal.

    Yields:
        Each request with the expected answer and the one that was seen.
    """
    with (
        LoopbackServer(_function_b()) as b,
        LoopbackServer(_function_a(fetch, b.url)) as a,
        httpx.Client(trust_env=False) as client,
    ):

        def call() -> str:
            found = client.get(f"{a.url}/").json()
            return f"{found['status']} {found['said'] or last_reason()}"

        def set_policy(*members: str) -> None:
            policy = {"bindings": [{"role": _INVOKER, "members": list(members)}] if members else []}
            url = f"{running.url}/v2/{_FUNCTION_B}:setIamPolicy"
            client.post(url, json={"policy": policy}).raise_for_status()

        yield "function A calls function B, which no one may", "403 permission_denied", call()
        set_policy(f"serviceAccount:{DEFAULT_ACCOUNT}")
        yield "once setIamPolicy has granted it to A", "200 hello from b", call()
        set_policy()
        yield "once setIamPolicy has withdrawn it", "403 permission_denied", call()
    yield from _event_rows(running, fetch, last_reason)


def _event_rows(
    running: RunningEmulator, fetch: Callable[[str], str], last_reason: Callable[[], str]
) -> Iterator[DemonstratedRow]:
    received: list[str] = []
    with LoopbackServer(_event_function(received)) as events, httpx.Client(trust_env=False) as client:
        dispatcher = Dispatcher(tokens_of_issuer(running.emulator.issuer), attempts=1)
        push = PubSubPush(dispatcher=dispatcher, service_account=_PUSHER, audience=_AUDIENCE_EVENTS)
        pushed = push.send(f"{events.url}/", b"hello", message_id="1")
        yield "a Pub/Sub message for an event-driven function", "204 received 1", _seen(pushed, received)
        headers = {"authorization": f"Bearer {fetch(_AUDIENCE_EVENTS)}"}
        answer = client.post(f"{events.url}/", json={}, headers=headers)
        yield "function A at that function", "403 permission_denied", f"{answer.status_code} {last_reason()}"


def _seen(delivery: Delivery, received: list[str]) -> str:
    return f"{delivery.attempts[-1].status} received {' '.join(received)}"
