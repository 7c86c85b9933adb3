"""Eventarc: CloudEvents in binary mode, over Pub/Sub."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.senders import Dispatcher, Ending, Eventarc
from support.receiver import AUDIENCE, URL, Receiver

Dispatch = Callable[..., Dispatcher]
TOPIC = "projects/shop/topics/orders"
STORAGE = "google.cloud.storage.object.v1.finalized"


def test_a_pubsub_message_is_the_event_message_published(receiver: Receiver, dispatch: Dispatch) -> None:
    trigger = Eventarc(
        dispatcher=dispatch(), audience=AUDIENCE, topic=TOPIC, subscription="projects/p/subscriptions/s"
    )
    trigger.send_message(URL, b"hello", message_id="1096434104173400")

    sent = receiver.headers()
    sent.pop("user-agent")
    assert {
        "ce-id": "1096434104173400",
        "ce-source": "//pubsub.googleapis.com/projects/shop/topics/orders",
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-time": "2026-09-21T14:13:20.000Z",
        "content-type": "application/json",
    } == sent
    assert "aGVsbG8=" == receiver.body()["message"]["data"]
    assert "projects/p/subscriptions/s" == receiver.body()["subscription"]


def test_any_event_can_be_sent_with_subject_and_attributes(receiver: Receiver, dispatch: Dispatch) -> None:
    Eventarc(dispatcher=dispatch(), audience=AUDIENCE).send(
        URL,
        {"name": "a.txt"},
        type=STORAGE,
        source="//s",
        subject="objects/a.txt",
        attributes={"bucket": "b"},
    )

    assert ("objects/a.txt", "b", STORAGE) == tuple(
        receiver.last.headers[f"ce-{name}"] for name in ("subject", "bucket", "type")
    )
    assert {"name": "a.txt"} == receiver.body()


def test_an_event_keeps_its_id_in_every_attempt(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500, 204]

    Eventarc(dispatcher=dispatch(), audience=AUDIENCE).send(URL, {}, type="t", source="s")

    first, second = receiver.requests
    assert first.headers["ce-id"] == second.headers["ce-id"]


def test_it_retries_for_a_day_after_10_to_600_seconds(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500]

    delivery = Eventarc(dispatcher=dispatch(attempts=1_000), audience=AUDIENCE).send(
        URL, {}, type="t", source="s"
    )

    assert Ending.GIVEN_UP == delivery.ending
    assert (10.0, 600.0) == (receiver.waits[0], receiver.waits[-1])
    assert 86_400 - 600 < delivery.waited <= 86_400


def test_a_trigger_without_retries_makes_one_attempt(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500]

    delivery = Eventarc(dispatcher=dispatch(), audience=AUDIENCE, retries=False).send_message(URL, b"x")

    assert (Ending.GIVEN_UP, 1) == (delivery.ending, len(delivery.attempts))


def test_the_audience_must_be_given_because_no_default_is_documented(dispatch: Dispatch) -> None:
    with pytest.raises(ConfigurationError, match="no documented default"):
        Eventarc(dispatcher=dispatch(), audience="")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "t\r\nAuthorization: Bearer x", "source": "s"},
        {"type": "", "source": "s"},
        {"type": "t", "source": "\u202es"},
        {"type": "t", "source": "s", "attributes": {"Not-A-Name": "x"}},
    ],
)
def test_what_is_no_attribute_of_a_cloudevent_is_refused(
    event: dict[str, object], receiver: Receiver, dispatch: Dispatch
) -> None:
    with pytest.raises(ConfigurationError, match="attribute"):
        Eventarc(dispatcher=dispatch(), audience=AUDIENCE).send(URL, {}, **event)  # type: ignore[arg-type]  # by name

    assert [] == receiver.requests
