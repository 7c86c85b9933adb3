"""Ready-made rules for Google's event senders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from doorward import Admission, ConfigurationError, Reason, Refusal
from doorward.senders import EventSender, cloud_scheduler, cloud_tasks, eventarc, pubsub_push, workflows
from support.tokens import CALLER
from support.world import World

URL = "https://events-1234567890.europe-west1.run.app/push/orders"
OTHER = "other@doorward-test.iam.gserviceaccount.com"

Make = Callable[..., EventSender]
BY_URL = pytest.mark.parametrize("make", [pubsub_push, cloud_tasks, cloud_scheduler])
BY_AUDIENCE = pytest.mark.parametrize("make", [eventarc, workflows])


def ask(world: World, sender: EventSender, **claims: Any) -> Admission | Refusal:
    door = sender.door(clock=world.clock, key_cache=world.cache)
    return door.admit([(b"authorization", b"Bearer " + world.token(**claims).encode())])


def reason(answer: Admission | Refusal) -> Reason:
    assert isinstance(answer, Refusal)
    return answer.reason


@BY_URL
def test_the_whole_url_is_the_audience_by_default(world: World, make: Make) -> None:
    """Pub/Sub [D pubsub.v1], Cloud Tasks and Cloud Scheduler [D] say so of themselves."""
    assert isinstance(ask(world, make(URL, CALLER), aud=URL), Admission)
    assert Reason.WRONG_AUDIENCE == reason(ask(world, make(URL, CALLER), aud=URL.rpartition("/push")[0]))


@BY_URL
def test_an_audience_set_at_the_sender_replaces_the_url(world: World, make: Make) -> None:
    sender = make(URL, CALLER, audience="orders")

    assert isinstance(ask(world, sender, aud="orders"), Admission)
    assert Reason.WRONG_AUDIENCE == reason(ask(world, sender, aud=URL))


@BY_AUDIENCE
def test_where_the_default_is_not_documented_the_audience_must_be_given(world: World, make: Make) -> None:
    with pytest.raises(TypeError):
        make(CALLER)
    assert isinstance(ask(world, make(CALLER, audience=URL), aud=URL), Admission)


@BY_URL
def test_nobody_but_the_service_account_of_the_source_gets_in(world: World, make: Make) -> None:
    sender = make(URL, CALLER)

    assert Reason.PERMISSION_DENIED == reason(ask(world, sender, aud=URL, email=OTHER))
    assert Reason.PERMISSION_DENIED == reason(ask(world, sender, aud=URL, email="somebody@example.com"))


@BY_URL
@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_google_has_not_verified_is_not_enough(
    world: World, make: Make, verified: object
) -> None:
    assert Reason.PERMISSION_DENIED == reason(ask(world, make(URL, CALLER), aud=URL, email_verified=verified))


def test_several_service_accounts_may_send(world: World) -> None:
    sender = pubsub_push(URL, [CALLER, OTHER])

    assert isinstance(ask(world, sender, aud=URL, email=OTHER), Admission)
    assert isinstance(ask(world, sender, aud=URL), Admission)


@BY_URL
def test_a_url_with_a_query_needs_an_audience_of_its_own(make: Make) -> None:
    """Cloud Run answers such an audience with 401 [C googleapis/python-tasks #137]."""
    with pytest.raises(ConfigurationError, match="set an audience at the sender"):
        make(f"{URL}?key=1", CALLER)
    assert "orders" == make(f"{URL}?key=1", CALLER, audience="orders").audience


@pytest.mark.parametrize("account", ["", "somebody@example.com", "a@b@x.gserviceaccount.com", None, 7])
def test_what_is_not_a_service_account_cannot_be_a_sender(account: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not the address of a service account"):
        pubsub_push(URL, [account])


def test_a_sender_without_a_service_account_would_be_anybody() -> None:
    with pytest.raises(ConfigurationError, match="needs the service account"):
        pubsub_push(URL, [])


@pytest.mark.parametrize("url", ["", "events.example/push", "ftp://x/y", "https://", "https://x/y#z"])
def test_an_endpoint_is_an_absolute_url(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the absolute URL of an endpoint"):
        cloud_tasks(url, CALLER)


@pytest.mark.parametrize("audience", [None, "orders"])
def test_the_endpoint_is_looked_at_whatever_the_audience(audience: str | None) -> None:
    with pytest.raises(ConfigurationError, match="is not the absolute URL of an endpoint"):
        pubsub_push("events.example/push", CALLER, audience=audience)


@BY_URL
def test_an_empty_audience_is_not_taken_for_none(world: World, make: Make) -> None:
    with pytest.raises(ConfigurationError, match="an audience is needed"):
        make(URL, CALLER, audience="").door(clock=world.clock)
