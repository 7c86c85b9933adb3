"""The limit of what callers can have logged: which lines are written, and when the others are summed up."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from doorward import loglimit
from doorward.loglimit import SUMMARY, LogLimit
from support.clock import ManualClock

LOGGER = logging.getLogger("doorward.tests")


class Later:
    """Keeps what is to be called at the end of a window."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, work: Callable[[], None]) -> None:
        self.calls.append((seconds, work))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def limit(clock: ManualClock, later: Later) -> LogLimit:
    return LogLimit(LOGGER, logging.WARNING, "refused", lines=2, monotonic=clock, later=later)


def written(limit: LogLimit, *kinds: str) -> list[str]:
    return [kind for kind in kinds if limit.allows(kind)]


# What is written.


def test_what_comes_rarely_is_written_whole(
    limit: LogLimit, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        assert limit.allows("expired")
        clock.move(5.0)

    assert [] == caplog.messages


def test_beyond_the_limit_only_the_first_of_each_kind_is_written(limit: LogLimit) -> None:
    kinds = ["expired"] * 10 + ["malformed", "malformed", "unknown_key", "expired"]

    assert ["expired"] * 3 + ["malformed", "unknown_key"] == written(limit, *kinds)


def test_each_window_begins_anew(limit: LogLimit, clock: ManualClock) -> None:
    assert 3 == len(written(limit, *["expired"] * 10))
    clock.move(9.99)
    assert 0 == len(written(limit, *["expired"] * 10))
    clock.move(0.01)
    assert 3 == len(written(limit, *["expired"] * 10))


def test_kinds_without_end_are_one_kind(limit: LogLimit, caplog: pytest.LogCaptureFixture) -> None:
    assert 64 + 1 + 2 == len(written(limit, *map(str, range(1_000))))

    limit.flush()
    assert ["933 more refused in 10 s: 933 other"] == caplog.messages


def test_a_level_that_is_not_written_is_not_counted(later: Later, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "doorward.tests")
    limit = LogLimit(LOGGER, logging.INFO, "admitted", lines=0, later=later)

    assert [] == written(limit, "a", "a", "a")
    limit.flush()
    assert [] == caplog.messages


# The summary.


def test_the_summary_counts_by_kind_the_most_frequent_first(
    limit: LogLimit, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    written(limit, "expired", *["expired"] * 306, *["bad_signature"] * 901)

    clock.move(10.0)
    limit.allows("expired")

    assert ["1,204 more refused in 10 s: 900 bad_signature, 304 expired"] == caplog.messages
    summary = getattr(caplog.records[0], SUMMARY)
    assert {"seconds": 10.0, "held_back": {"bad_signature": 900, "expired": 304}} == summary
    assert logging.WARNING == caplog.records[0].levelno


def test_the_end_of_a_flood_is_summed_up_without_a_further_line(
    limit: LogLimit, clock: ManualClock, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    written(limit, "expired")
    clock.move(4.0)
    written(limit, *["expired"] * 9)

    ((seconds, end),) = later.calls
    assert 6.0 == seconds
    end()
    assert ["7 more refused in 10 s: 7 expired"] == caplog.messages


def test_where_nothing_is_held_back_no_thread_is_started(limit: LogLimit, later: Later) -> None:
    written(limit, "expired", "expired", "malformed", "expired")

    assert [] == later.calls


def test_a_window_is_summed_up_once_whichever_way_it_ends(
    limit: LogLimit, clock: ManualClock, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    written(limit, *["expired"] * 5)
    clock.move(10.0)
    written(limit, *["expired"] * 6)
    for _, end in later.calls * 2:
        end()
    limit.flush()

    assert ["2 more refused in 10 s: 2 expired", "3 more refused in 10 s: 3 expired"] == caplog.messages


def test_no_lock_is_held_while_a_handler_writes(limit: LogLimit, clock: ManualClock) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(limit.allows("of the handler"))

    seen: list[bool] = []
    handler = Handler()
    LOGGER.addHandler(handler)
    try:
        written(limit, *["expired"] * 5)
        clock.move(10.0)
        limit.allows("expired")
    finally:
        LOGGER.removeHandler(handler)

    assert [True] == seen


def test_a_limit_that_was_dropped_is_not_kept_alive_by_its_thread(
    clock: ManualClock, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    limit = LogLimit(LOGGER, logging.WARNING, "refused", lines=0, monotonic=clock, later=later)
    written(limit, "a", "a")
    del limit

    later.calls[0][1]()

    assert [] == caplog.messages


# Threads and processes.


def test_many_threads_lose_no_count(caplog: pytest.LogCaptureFixture) -> None:
    limit = LogLimit(LOGGER, logging.WARNING, "refused", lines=10, later=lambda *_: None)
    allowed: list[list[str]] = []

    def work() -> None:
        allowed.append(written(limit, *["expired"] * 1_000))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    limit.flush()

    assert 11 == sum(map(len, allowed))
    assert ["7,989 more refused in 10 s: 7,989 expired"] == caplog.messages


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_process_begins_with_nothing_counted_and_a_lock_of_its_own(limit: LogLimit) -> None:
    written(limit, *["expired"] * 5)
    with limit._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if limit.allows("expired") and limit.allows("expired") else 1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


PROGRAM = """
import logging, sys, time
from doorward.loglimit import LogLimit
logging.basicConfig(format="%(message)s", stream=sys.stdout)
logger, seconds = logging.getLogger("doorward.door"), float(sys.argv[1])
limit = LogLimit(logger, logging.WARNING, "refused", lines=0, seconds=seconds)
for _ in range(5):
    limit.allows("expired")
print("flooded", flush=True)
sys.stdin.read()
"""


def flooded(seconds: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, seconds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "flooded\n" == process.stdout.readline()
        yield process
        process.kill()


def test_in_a_process_a_thread_sums_up_what_no_line_follows() -> None:
    for process in flooded("0.05"):
        assert process.stdout is not None
        assert "4 more refused in 0.05 s: 4 expired\n" == process.stdout.readline()


def test_a_process_that_ends_sums_up_before_its_log_is_closed() -> None:
    for process in flooded("600"):
        began = time.monotonic()
        output, _ = process.communicate(timeout=20)
        assert (0, "4 more refused in 600 s: 4 expired\n") == (process.returncode, output)
        assert 15 > time.monotonic() - began


def test_where_no_thread_can_be_started_the_next_line_brings_the_summary(
    clock: ManualClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # of what keeps other tests from starting threads

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    limit = LogLimit(LOGGER, logging.WARNING, "refused", lines=0, monotonic=clock, later=loglimit.in_a_thread)
    written(limit, "expired", "expired")
    clock.move(10.0)
    limit.allows("expired")

    assert ["1 more refused in 10 s: 1 expired"] == caplog.messages
