"""Workflows: one call of a step."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.senders import Dispatcher, Ending, Workflows
from support.receiver import AUDIENCE, URL, Receiver

Dispatch = Callable[..., Dispatcher]
USER_AGENT = "GoogleCloudWorkflows; (+https://cloud.google.com/workflows/docs)"


def test_a_step_sends_json_and_gets_the_answer(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [httpx.Response(200, json={"total": 3})]

    delivery = Workflows(dispatcher=dispatch(), audience=AUDIENCE).send(URL, {"order": 7})

    assert {"order": 7} == receiver.body()
    assert {"user-agent": USER_AGENT, "content-type": "application/json"} == receiver.headers()
    assert b'{"total":3}' == delivery.attempts[0].answer


def test_a_step_without_a_body_sends_none(receiver: Receiver, dispatch: Dispatch) -> None:
    Workflows(dispatcher=dispatch(), audience=AUDIENCE).send(URL, method="GET")

    assert (b"", {"user-agent": USER_AGENT}) == (receiver.last.content, receiver.headers())


def test_a_user_agent_of_the_step_stands_in_front(receiver: Receiver, dispatch: Dispatch) -> None:
    Workflows(dispatcher=dispatch(), audience=AUDIENCE).send(URL, headers={"user-agent": "orders"})

    assert [f"orders {USER_AGENT}"] == receiver.last.headers.get_list("user-agent")


@pytest.mark.parametrize(
    ("retry", "answers", "attempts"),
    [
        ("none", [503, 200], 1),
        ("default", [503, 200], 2),
        ("default", [httpx.ConnectError("away"), 200], 2),
        ("default", [500, 200], 1),
        ("default", [403, 200], 1),
        ("non_idempotent", [429, 503, 200], 3),
        ("non_idempotent", [502, 200], 1),
        ("non_idempotent", [httpx.ReadTimeout("slow"), 200], 1),
        ("default", [503], 6),
    ],
)
def test_a_step_retries_by_its_predicate(
    retry: str, answers: list[object], attempts: int, receiver: Receiver, dispatch: Dispatch
) -> None:
    receiver.answers = answers

    step = Workflows(dispatcher=dispatch(), audience=AUDIENCE, retry=retry)  # type: ignore[arg-type]  # one of them
    assert attempts == len(step.send(URL).attempts)


def test_waits_grow_by_a_quarter_from_one_second(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [503]

    delivery = Workflows(dispatcher=dispatch(), audience=AUDIENCE, retry="default").send(URL)

    assert [1.0, 1.25, 1.5625, 1.953125, 2.44140625] == receiver.waits
    assert Ending.GIVEN_UP == delivery.ending


@pytest.mark.parametrize("settings", [{"audience": ""}, {"audience": AUDIENCE, "retry": "always"}])
def test_a_step_that_cannot_be_is_refused(settings: dict[str, str], dispatch: Dispatch) -> None:
    with pytest.raises(ConfigurationError):
        Workflows(dispatcher=dispatch(), **settings)  # type: ignore[arg-type]  # settings by name
