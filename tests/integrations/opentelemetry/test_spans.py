"""The decisions of a door, on the span of the request."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from doorward import Door, InvokerPolicy, PlainRequest, Verifier
from doorward.door.events import Decided
from doorward_integrations.opentelemetry import DoorSpans
from support.tokens import AUDIENCE, MEMBER
from support.world import World

Attributes = dict[str, object]


class Spans:
    """Keeps the spans that end."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Tracer = provider.get_tracer("tests")

    def attributes(self) -> Attributes:
        (span,) = self.exporter.get_finished_spans()
        self.exporter.clear()
        return dict(span.attributes or {})


@pytest.fixture
def spans() -> Spans:
    return Spans()


def decide(spans: Spans, door: Door, token: str | None, *further: tuple[bytes, bytes]) -> Attributes:
    headers = [*further, *([(b"x-serverless-authorization", b"Bearer " + token.encode())] if token else [])]
    with spans.tracer.start_as_current_span("GET /"):
        door.admit(headers, PlainRequest("/"))
    found = spans.attributes()

    async def request() -> None:
        with spans.tracer.start_as_current_span("GET /"):
            await door.aadmit(headers, PlainRequest("/"))

    asyncio.run(request())
    assert found == spans.attributes()
    return found


def test_outcome_and_reason_are_written_and_nothing_of_the_caller(world: World, spans: Spans) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), listener=DoorSpans())

    assert {"doorward.outcome": "admitted"} == decide(spans, door, world.token())
    expected = {"doorward.outcome": "refused", "doorward.reason": "no_credential"}
    assert expected == decide(spans, door, None)
    expected = {"doorward.outcome": "refused", "doorward.reason": "wrong_audience"}
    assert expected == decide(spans, door, world.token(aud="https://other.example"))


def test_who_calls_is_written_where_it_is_asked_for(world: World, spans: Spans) -> None:
    everyone = InvokerPolicy.join(
        InvokerPolicy.all_authenticated_users(), InvokerPolicy.from_members(["allUsers"])
    )
    door = Door(world.verifier(), everyone, listener=DoorSpans(enduser_id=True))

    found = decide(spans, door, world.token())
    assert MEMBER.partition(":")[2] == found["enduser.id"]
    found = decide(spans, door, world.token(email=None, sub="123"))
    assert "123" == found["enduser.id"]
    assert {"doorward.outcome": "anonymous"} == decide(spans, door, None)


def test_the_end_user_is_written_rather_than_the_caller(world: World, spans: Spans) -> None:
    end_user: Verifier = world.verifier("client")
    door = Door(
        world.verifier(AUDIENCE),
        InvokerPolicy.from_members([MEMBER]),
        listener=DoorSpans(enduser_id=True),
        end_user=end_user,
        end_user_callers=[MEMBER],
    )
    user = b"Bearer " + world.token(aud="client", email="ada@example.com").encode()

    assert "ada@example.com" == decide(spans, door, world.token(), (b"authorization", user))["enduser.id"]


def test_a_refused_caller_is_not_named(world: World, spans: Spans) -> None:
    door = Door(
        world.verifier(),
        InvokerPolicy.from_members(["user:a@example.com"]),
        listener=DoorSpans(enduser_id=True),
    )

    expected = {"doorward.outcome": "refused", "doorward.reason": "permission_denied"}
    assert expected == decide(spans, door, world.token())


def test_without_a_span_the_decision_is_only_passed_on(world: World) -> None:
    seen: list[Decided] = []
    door = Door(
        world.verifier(),
        InvokerPolicy.from_members([MEMBER]),
        listener=DoorSpans(enduser_id=True, then=seen.append),
    )

    door.admit([], PlainRequest("/"))

    assert ["refused"] == [one.outcome for one in seen]


def test_an_event_shows_no_personal_data(world: World) -> None:
    seen: list[Decided] = []
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), listener=seen.append)

    door.admit([(b"authorization", b"Bearer " + world.token().encode())], PlainRequest("/"))

    (event,) = seen
    assert (MEMBER, None) == (event.caller and event.caller.member, event.end_user)
    assert "@" not in repr(event)
