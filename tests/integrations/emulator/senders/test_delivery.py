"""Attempts, waits and limits, whatever the sender."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.errors import ConfigurationError
from doorward_integrations.emulator import LoopbackServer
from doorward_integrations.emulator.senders import Attempt, CloudTasks, Dispatcher, Ending
from doorward_integrations.emulator.senders.plan import Outgoing, Plan, exponential, merged, rfc3339
from support.clock import ManualClock
from support.httpendpoint import HttpEndpoint, repeating, response
from support.receiver import ACCOUNT, AUDIENCE, URL, Receiver

Dispatch = Callable[..., Dispatcher]


def plan(**changes: object) -> Plan:
    settings: dict[str, object] = {
        "sender": "A sender",
        "url": URL,
        "account": ACCOUNT,
        "audience": AUDIENCE,
        "request": lambda before: Outgoing(headers={"X-Attempt": str(len(before) + 1)}, body=b"hello"),
        "wait": exponential(1.0, 4.0),
    }
    return Plan(**(settings | changes))  # type: ignore[arg-type]  # settings by name


def test_every_attempt_has_a_new_token_of_the_account_for_the_audience(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    receiver.answers = [500, 204]

    dispatch().deliver(plan())

    assert [(ACCOUNT, AUDIENCE)] * 2 == receiver.minted
    assert ["Bearer token-1", "Bearer token-2"] == [one.headers["authorization"] for one in receiver.requests]


def test_an_accepted_event_is_delivered_once(receiver: Receiver, dispatch: Dispatch) -> None:
    delivery = dispatch().deliver(plan())

    assert (True, Ending.DELIVERED, [204]) == (
        delivery.delivered,
        delivery.ending,
        [one.status for one in delivery.attempts],
    )
    assert [] == receiver.waits


def test_waits_double_up_to_the_most(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500, 500, 500, 500, 204]

    delivery = dispatch().deliver(plan())

    assert [1.0, 2.0, 4.0, 4.0] == receiver.waits
    assert 11.0 == delivery.waited


def test_after_the_last_attempt_nothing_is_waited_for(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500]

    delivery = dispatch().deliver(plan(attempts=3))

    assert (Ending.GIVEN_UP, 3, [1.0, 2.0]) == (delivery.ending, len(receiver.requests), receiver.waits)


def test_a_sender_with_a_time_limit_does_not_begin_an_attempt_after_it(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    receiver.answers = [500]

    delivery = dispatch(attempts=100).deliver(plan(lasting=7.5))

    assert (Ending.GIVEN_UP, [1.0, 2.0, 4.0]) == (delivery.ending, receiver.waits)


def test_the_bound_of_the_emulator_is_said_to_be_no_limit_of_the_sender(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    receiver.answers = [500]

    delivery = dispatch(attempts=2).deliver(plan(attempts=100))

    assert (Ending.STOPPED, 2) == (delivery.ending, len(delivery.attempts))


def test_an_endpoint_that_is_away_is_an_attempt_without_a_status(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    receiver.answers = [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), 204]

    first, second, _ = dispatch().deliver(plan()).attempts

    assert (None, "ConnectError") == (first.status, first.error)
    assert (None, "no answer in time") == (second.status, second.error)


def test_a_redirect_is_not_followed_with_the_token(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [httpx.Response(302, headers={"location": "https://elsewhere.example.com/"})]

    delivery = dispatch().deliver(plan(attempts=1))

    assert ([302], 1) == ([one.status for one in delivery.attempts], len(receiver.requests))


def test_no_header_of_the_client_is_added_to_those_of_the_sender(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    dispatch().deliver(plan())

    assert {"x-attempt": "1"} == receiver.headers()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://orders.example.com/", "plain http to another machine"),
        ("http://127.0.0.1.example.com/", "plain http to another machine"),
        ("http://127.0.0.1@orders.example.com/", "absolute URL"),
        ("ftp://127.0.0.1/", "absolute URL"),
        ("/events", "absolute URL"),
        ("http://127.0.0.1:port/", "is not a URL"),
        ("http://127.0.0.1/#here", "absolute URL"),
        ("http://127.0.0.1/\r\nX: y", "printable ASCII"),
    ],
)
def test_a_token_goes_to_this_machine_or_over_https_only(
    url: str, why: str, receiver: Receiver, dispatch: Dispatch
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        dispatch().deliver(plan(url=url))

    assert ([], []) == (receiver.requests, receiver.minted)


@pytest.mark.parametrize(
    "url", ["http://localhost:1/x", "http://[::1]/", "http://127.9.9.9/", "https://a.example/"]
)
def test_this_machine_has_several_names(url: str, receiver: Receiver, dispatch: Dispatch) -> None:
    assert dispatch().deliver(plan(url=url)).delivered


def test_an_answer_that_never_ends_holds_up_nothing(clock: ManualClock) -> None:
    endless = repeating(response(length=10**9), b"x" * 65_536, times=10**6)

    with HttpEndpoint(endless) as endpoint:
        dispatcher = Dispatcher(lambda *_: "token", clock=clock, sleep=lambda _: None)
        delivery = dispatcher.deliver(plan(url=endpoint.url, attempts=1))

    assert [(200, 65_536)] == [(one.status, len(one.answer)) for one in delivery.attempts]


def test_no_token_is_in_what_is_shown_of_a_delivery(receiver: Receiver, dispatch: Dispatch) -> None:
    receiver.answers = [500, 204]

    assert "token-" not in repr(dispatch().deliver(plan())) + repr(dispatch())


def test_a_header_that_was_set_gives_way_to_the_sender_s_own_in_any_case() -> None:
    given_headers = {
        "x-own": "set",
        "X-Kept": "1",
        "AUTHORIZATION": "Bearer x",
        "Host": "h",
        "content-length": "9",
    }

    assert {"X-Kept": "1", "X-Own": "own"} == merged(given_headers, {"X-Own": "own"})


@pytest.mark.parametrize("header", [{"A B": "x"}, {"A": "x\r\nB: y"}, {"A": "\u202e"}, {"": "x"}])
def test_a_header_that_cannot_be_sent_is_refused(header: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be sent"):
        merged(header, {})


def test_times_are_written_as_google_s_apis_write_them() -> None:
    assert "2026-09-21T14:13:20.250Z" == rfc3339(1_790_000_000.25)


@given(
    least=st.floats(0.001, 100),
    more=st.floats(0, 10_000),
    factor=st.floats(1, 10),
    retries=st.integers(1, 5_000),
)
def test_no_wait_is_shorter_than_the_least_or_longer_than_the_most(
    least: float, more: float, factor: float, retries: int
) -> None:
    attempts: Sequence[Attempt] = [Attempt(number=1, waited=0, status=500)] * retries

    assert least <= exponential(least, least + more, factor=factor)(attempts) <= least + more


def test_at_least_one_attempt_must_be_allowed() -> None:
    with pytest.raises(ConfigurationError, match="attempts=0"):
        Dispatcher(lambda *_: "token", attempts=0)


def test_a_port_where_nothing_listens_is_an_attempt_too() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    with LoopbackServer(app) as server:
        url = server.url
    dispatcher = Dispatcher(lambda *_: "token", sleep=lambda _: None)

    delivery = CloudTasks(dispatcher=dispatcher, max_attempts=2).send(url)

    assert ["ConnectError"] * 2 == [one.error for one in delivery.attempts]


def test_a_retry_after_that_is_no_number_of_seconds_is_not_read(
    receiver: Receiver, dispatch: Dispatch
) -> None:
    for text in ("Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "9" * 30):
        receiver.answers = [httpx.Response(503, headers={"retry-after": text})]
        assert [None] == [one.retry_after for one in dispatch().deliver(plan(attempts=1)).attempts]
