"""Cloud Scheduler: its headers and its retries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.senders import CloudScheduler, Dispatcher, Ending
from support.receiver import URL, Receiver

Dispatch = Callable[..., Dispatcher]


def test_a_run_carries_the_headers_of_its_job(receiver: Receiver, dispatch: Dispatch) -> None:
    CloudScheduler(dispatcher=dispatch(), job="nightly").send(URL, b"x")

    assert {
        "user-agent": "Google-Cloud-Scheduler",
        "x-cloudscheduler": "true",
        "x-cloudscheduler-jobname": "nightly",
        "x-cloudscheduler-scheduletime": "2026-09-21T14:13:20Z",
        "content-type": "application/octet-stream",
    } == receiver.headers()


def test_a_content_type_of_the_job_is_kept(receiver: Receiver, dispatch: Dispatch) -> None:
    CloudScheduler(dispatcher=dispatch()).send(URL, b"{}", {"content-type": "application/json"}, method="PUT")

    assert ["application/json"] == receiver.last.headers.get_list("content-type")
    assert "PUT" == receiver.last.method


def test_a_job_has_no_retry_by_default(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500]

    delivery = CloudScheduler(dispatcher=dispatch()).send(URL)

    assert (Ending.GIVEN_UP, 1) == (delivery.ending, len(delivery.attempts))


def test_retries_of_a_job_keep_the_time_of_the_run(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500, 500, 200]

    CloudScheduler(dispatcher=dispatch(), retries=5).send(URL)

    assert [5.0, 10.0] == receiver.waits
    assert 1 == len({one.headers["x-cloudscheduler-scheduletime"] for one in receiver.requests})


@pytest.mark.parametrize("retries", [-1, 6])
def test_more_retries_than_a_job_can_have_are_refused(retries: int, dispatch: Dispatch) -> None:
    with pytest.raises(ConfigurationError, match="from 0 to 5"):
        CloudScheduler(dispatcher=dispatch(), retries=retries)
