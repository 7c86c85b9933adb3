"""Pub/Sub pushes: the documented forms, what acknowledges, and the dead-letter topic."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import httpx
import pytest

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.senders import Dispatcher, Ending, PubSubPush
from support.receiver import ACCOUNT, AUDIENCE, URL, Receiver

Dispatch = Callable[..., Dispatcher]
SUBSCRIPTION = "projects/shop/subscriptions/orders"


def push(dispatcher: Dispatcher, **settings: object) -> PubSubPush:
    given: dict[str, object] = {"service_account": ACCOUNT, "subscription": SUBSCRIPTION, **settings}
    return PubSubPush(dispatcher=dispatcher, **given)  # type: ignore[arg-type]  # settings by name


def test_a_wrapped_push_has_the_documented_body(receiver: Receiver, dispatch: Dispatch) -> None:
    push(dispatch()).send(URL, b"hello", {"kind": "order"}, ordering_key="a", message_id="2070443601311540")

    assert {
        "message": {
            "attributes": {"kind": "order"},
            "data": base64.b64encode(b"hello").decode(),
            "messageId": "2070443601311540",
            "message_id": "2070443601311540",
            "orderingKey": "a",
            "publishTime": "2026-09-21T14:13:20.000Z",
            "publish_time": "2026-09-21T14:13:20.000Z",
        },
        "subscription": SUBSCRIPTION,
    } == receiver.body()
    assert "application/json" == receiver.last.headers["content-type"]
    assert "APIs-Google" in receiver.last.headers["user-agent"]


def test_what_a_message_does_not_have_is_left_out_of_the_body(receiver: Receiver, dispatch: Dispatch) -> None:
    push(dispatch()).send(URL, b"", {"kind": "order"})
    assert {"attributes", "messageId", "message_id", "publishTime", "publish_time"} == set(
        receiver.body()["message"]
    )

    push(dispatch()).send(URL, b"x")
    assert "attributes" not in receiver.body()["message"]


def test_an_empty_message_is_refused_as_pubsub_refuses_it(dispatch: Dispatch) -> None:
    with pytest.raises(ConfigurationError, match="needs data or an attribute"):
        push(dispatch()).send(URL)


def test_an_unwrapped_push_is_the_data_alone(receiver: Receiver, dispatch: Dispatch) -> None:
    push(dispatch(), unwrapped=True).send(URL, b'{"status": "Hello"}', {"kind": "order"}, ordering_key="a")

    assert b'{"status": "Hello"}' == receiver.last.content
    assert {"user-agent"} == set(receiver.headers())


def test_write_metadata_puts_the_rest_of_the_message_into_headers(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    subscription = push(dispatch(), unwrapped=True, write_metadata=True)
    subscription.send(
        URL, b"{}", {"Content-Type": "application/json"}, ordering_key="some-key", message_id="1"
    )

    sent = receiver.headers()
    sent.pop("user-agent")
    assert {
        "content-type": "application/json",
        "x-goog-pubsub-subscription-name": SUBSCRIPTION,
        "x-goog-pubsub-message-id": "1",
        "x-goog-pubsub-publish-time": "2026-09-21T14:13:20.000Z",
        "x-goog-pubsub-ordering-key": "some-key",
    } == sent


@pytest.mark.parametrize(
    "attributes",
    [
        {"Authorization": "Bearer other"},
        {"x-serverless-authorization": "x"},
        {"Transfer-Encoding": "chunked"},
        {"x-goog-iap-jwt-assertion": "x"},
        {"a b": "x"},
        {"a": "x\r\nAuthorization: Bearer y"},
    ],
)
def test_no_attribute_takes_the_place_of_a_header_of_the_push(
    attributes: dict[str, str], receiver: Receiver, dispatch: Dispatch
) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written as a header"):
        push(dispatch(), unwrapped=True, write_metadata=True).send(URL, b"x", attributes)

    assert [] == receiver.requests


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_these_statuses_acknowledge(status: int, receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [status]

    assert push(dispatch()).send(URL, b"x").delivered


@pytest.mark.parametrize("status", [203, 206, 301, 400, 401, 403, 404, 429, 500, 503])
def test_every_other_status_has_it_pushed_again(status: int, receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [status, 204]

    assert [status, 204] == [one.status for one in push(dispatch()).send(URL, b"x").attempts]


def test_every_attempt_has_the_same_message(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500, httpx.ConnectError("away"), 204]

    push(dispatch()).send(URL, b"x")

    assert 1 == len({one.content for one in receiver.requests})


def test_push_backoff_goes_from_100_ms_to_60_s(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500]

    push(dispatch(attempts=13)).send(URL, b"x")

    assert 0.1 == receiver.waits[0]
    assert [51.2, 60.0, 60.0] == receiver.waits[-3:]


def test_without_a_dead_letter_topic_it_is_pushed_for_seven_days(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    receiver.answers = [500]

    slow = push(dispatch(attempts=1_000), least_wait=3_600.0, most_wait=7_200.0)
    delivery = slow.send(URL, b"x")

    assert Ending.GIVEN_UP == delivery.ending
    assert 7 * 86_400 - 7_200 < delivery.waited <= 7 * 86_400


def test_with_a_dead_letter_topic_attempts_are_counted_and_the_message_is_moved(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    receiver.answers = [403]

    delivery = push(dispatch(), dead_letter_after=5).send(URL, b"x", {"kind": "order"}, ordering_key="a")

    assert [1, 2, 3, 4, 5] == [json.loads(one.content)["deliveryAttempt"] for one in receiver.requests]
    assert Ending.DEAD_LETTERED == delivery.ending
    assert {
        "attributes": {
            "kind": "order",
            "CloudPubSubDeadLetterSourceDeliveryCount": "5",
            "CloudPubSubDeadLetterSourceSubscription": "orders",
            "CloudPubSubDeadLetterSourceSubscriptionProject": "shop",
            "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-09-21T14:13:20.000Z",
        },
        "data": "eA==",
        "orderingKey": "a",
    } == delivery.dead_letter


def test_the_audience_is_the_whole_url_unless_the_subscription_names_one(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    push(dispatch()).send(f"{URL}?token=1", b"x")
    push(dispatch(), audience=AUDIENCE).send(URL, b"x")

    assert [(ACCOUNT, f"{URL}?token=1"), (ACCOUNT, AUDIENCE)] == receiver.minted


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"subscription": "orders"}, "projects/PROJECT/subscriptions/NAME"),
        ({"dead_letter_after": 4}, "from 5 to 100"),
        ({"dead_letter_after": 101}, "from 5 to 100"),
        ({"write_metadata": True}, "unwrapped"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(
    settings: dict[str, object], why: str, dispatch: Dispatch
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        push(dispatch(), **settings)
