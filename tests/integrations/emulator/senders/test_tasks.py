"""Cloud Tasks: its headers, what it counts, and its waits."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.senders import Attempt, CloudTasks, Dispatcher, Ending
from doorward_integrations.emulator.senders.plan import Doublings
from support.receiver import AUDIENCE, URL, Receiver

Dispatch = Callable[..., Dispatcher]


def test_a_task_carries_the_headers_of_its_queue(receiver: Receiver, dispatch: Dispatch) -> None:
    CloudTasks(dispatcher=dispatch(), queue="orders").send(URL, b"x", {"X-Own": "1"}, task="7")

    assert {
        "x-own": "1",
        "user-agent": "Google-Cloud-Tasks",
        "x-cloudtasks-queuename": "orders",
        "x-cloudtasks-taskname": "7",
        "x-cloudtasks-tasketa": "1790000000.000000",
        "x-cloudtasks-taskretrycount": "0",
        "x-cloudtasks-taskexecutioncount": "0",
    } == receiver.headers()


def test_a_task_cannot_set_what_cloud_tasks_writes(receiver: Receiver, dispatch: Dispatch) -> None:
    own = {"user-agent": "curl", "X-CLOUDTASKS-QUEUENAME": "other", "authorization": "Bearer other"}
    CloudTasks(dispatcher=dispatch(), queue="orders").send(URL, b"x", own)

    assert "Google-Cloud-Tasks" == receiver.last.headers["user-agent"]
    assert ["orders"] == receiver.last.headers.get_list("x-cloudtasks-queuename")
    assert ["Bearer token-1"] == receiver.last.headers.get_list("authorization")


def test_a_5xx_counts_as_a_retry_and_not_as_an_execution(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [503, 404, httpx.ConnectError("away"), 429, 200]

    CloudTasks(dispatcher=dispatch()).send(URL)

    def sent(name: str) -> list[str | None]:
        return [one.headers.get(f"x-cloudtasks-task{name}") for one in receiver.requests]

    assert ["0", "1", "2", "3", "4"] == sent("retrycount")
    assert ["0", "0", "1", "1", "2"] == sent("executioncount")
    assert [None, "503", "404", None, "429"] == sent("previousresponse")


@pytest.mark.parametrize("status", [200, 204, 226, 299])
def test_every_2xx_is_a_success(status: int, receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [status]

    assert CloudTasks(dispatcher=dispatch()).send(URL).delivered


def test_retry_after_is_waited_for(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [httpx.Response(429, headers={"retry-after": "30"}), 503, 200]

    CloudTasks(dispatcher=dispatch()).send(URL)

    assert [30.0, 0.2] == receiver.waits


def test_a_queue_gives_up_after_its_attempts(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500]

    delivery = CloudTasks(dispatcher=dispatch(attempts=200)).send(URL)

    assert (Ending.GIVEN_UP, 100) == (delivery.ending, len(delivery.attempts))


def test_the_waits_are_those_of_the_documented_example() -> None:
    wait = Doublings(least=10, most=300, doublings=3)
    attempts = [Attempt(number=number, waited=0, status=500) for number in range(1, 9)]

    assert [10, 20, 40, 80, 160, 240, 300, 300] == [wait(attempts[:number]) for number in range(1, 9)]


def test_the_audience_is_the_url_with_its_query_unless_the_task_names_one(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    CloudTasks(dispatcher=dispatch()).send(f"{URL}?id=1")
    CloudTasks(dispatcher=dispatch(), audience=AUDIENCE).send(URL)

    assert [f"{URL}?id=1", AUDIENCE] == [audience for _, audience in receiver.minted]


@pytest.mark.parametrize(
    "settings", [{"max_attempts": 0}, {"least_wait": -1.0}, {"least_wait": 5_000.0}, {"doublings": -1}]
)
def test_a_queue_that_cannot_be_is_refused(settings: dict[str, float], dispatch: Dispatch) -> None:
    with pytest.raises(ConfigurationError):
        CloudTasks(dispatcher=dispatch(), **settings)  # type: ignore[arg-type]  # settings by name
