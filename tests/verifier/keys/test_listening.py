"""Queued events: they come in order, and a listener that never returns costs one thread."""

from __future__ import annotations

import logging
import threading

import pytest

from doorward.keys import listening
from doorward.keys.events import KeyEvent, Listener, StaleUsed, StateChanged
from doorward.keys.listening import EventQueue
from doorward.keys.state import KeyState
from support.simulator import PATIENCE, background

URL = "https://keys.example/certs"


def numbered(count: int) -> list[StaleUsed]:
    return [StaleUsed(URL, float(number)) for number in range(count)]


def event_queue(listener: Listener) -> EventQueue[KeyEvent]:
    return EventQueue(
        listener,
        logging.getLogger("doorward.keys"),
        KeyState.EMPTY,
        lambda before, after: StateChanged(URL, before, after),
    )


class Slow:
    """A listener that does not return before it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.heard: list[KeyEvent] = []

    def __call__(self, event: KeyEvent) -> None:
        self.begun.set()
        assert self.let_go.wait(PATIENCE)
        self.heard.append(event)


def test_what_is_queued_is_delivered_in_its_order_and_once() -> None:
    heard: list[KeyEvent] = []
    made = event_queue(heard.append)
    for event in numbered(5):
        made.queue(event)
    assert [] == heard
    made.deliver()
    made.deliver()

    assert numbered(5) == heard


def test_one_thread_delivers_what_others_queue_meanwhile() -> None:
    listener = Slow()
    made = event_queue(listener)
    first, *others = numbered(5)
    made.queue(first)
    delivering = background(made.deliver)
    assert listener.begun.wait(PATIENCE)
    for event in others:
        made.queue(event)
        made.deliver()  # returns at once
    listener.let_go.set()
    delivering.result(PATIENCE)

    assert numbered(5) == listener.heard


def test_a_listener_that_does_not_return_has_so_many_events_kept_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "_LONGEST", 3)
    listener = Slow()
    made = event_queue(listener)
    events = numbered(10)
    made.queue(events[0])
    delivering = background(made.deliver)
    assert listener.begun.wait(PATIENCE)
    for event in events[1:]:
        made.queue(event)
    listener.let_go.set()
    delivering.result(PATIENCE)

    assert events[:4] == listener.heard
    warning = "the listener did not return for long: 6 events were dropped"
    assert [("doorward.keys", logging.WARNING, warning)] == caplog.record_tuples


def test_a_listener_that_raises_is_called_again() -> None:
    heard: list[KeyEvent] = []

    def listen(event: KeyEvent) -> None:
        heard.append(event)
        raise ValueError("a listener of one's own")

    made = event_queue(listen)
    for event in numbered(3):
        made.queue(event)
    made.deliver()

    assert numbered(3) == heard


def test_a_child_reports_nothing_that_its_parent_has_queued_and_waits_for_no_thread_of_it() -> None:
    listener = Slow()
    made = event_queue(listener)
    first, second, third = numbered(3)
    made.queue(first)
    delivering = background(made.deliver)
    assert listener.begun.wait(PATIENCE)
    made.queue(second)
    made.begin()
    listener.let_go.set()
    delivering.result(PATIENCE)
    made.queue(third)
    made.deliver()

    assert [first, third] == listener.heard


def test_without_a_thread_events_wait_for_the_next_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[KeyEvent] = []
    made = event_queue(heard.append)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    (event,) = numbered(1)
    made.queue(event)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        made.deliver_aside()
    made.deliver()

    assert [event] == heard


def test_a_change_of_state_is_reported_once_and_in_the_order_of_the_events_around_it() -> None:
    heard: list[KeyEvent] = []
    made = event_queue(heard.append)
    before, after = numbered(2)
    made.queue(before)
    assert made.queue_state(lambda: KeyState.FRESH)
    assert not made.queue_state(lambda: KeyState.FRESH)
    made.queue(after)
    made.deliver()
    made.report_state(KeyState.FRESH)
    made.report_state(KeyState.STALE)

    assert [
        before,
        StateChanged(URL, KeyState.EMPTY, KeyState.FRESH),
        after,
        StateChanged(URL, KeyState.FRESH, KeyState.STALE),
    ] == heard
