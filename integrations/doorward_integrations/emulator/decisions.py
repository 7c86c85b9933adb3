"""The last decisions of the doors on this machine: reported by a listener, kept and shown by the emulator.

A service opts in::

    reports = EmulatorListener("orders")
    door = Door(verifier, policy, listener=reports, log=reports.log)

What is reported is what a door logs: outcome, status, reason and sentence, method and path without its query.
No token and no header is among it. Without ``DOORWARD_EMULATOR_HOST`` nothing is reported, and on Cloud Run
the variable is refused.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from doorward.door.credentials import RawHeaders
from doorward.door.events import Decided, Outcome
from doorward.door.log import DoorLog
from doorward.door.refusal import Refusal
from doorward.errors import ConfigurationError, Reason
from doorward.forks import renew_in_children
from doorward.issuers.google import emulator_in_environment
from doorward.policy.request import RequestFacts
from doorward.shown import shown
from doorward_integrations.emulator.interface import CONTROL_HEADER, CONTROL_VALUE, DECISIONS_PATH

__all__ = ["Decisions", "EmulatorListener"]

_log: Final = logging.getLogger("doorward.emulator")
_KEPT: Final = 200
_QUEUED: Final = 1_000
_BATCH: Final = 100
_SECONDS: Final = 2.0
_NAME: Final = 100
_SENTENCE: Final = 500
_PATH: Final = 200
_REASONS: Final = {str(reason): reason for reason in Reason}
_OUTCOMES: Final = frozenset(get_args(Outcome))
_TEXTS: Final = {"method": 20, "path": _PATH, "message": _SENTENCE}
_LARGEST_STATUS: Final = 599


class Decisions:
    """The last decisions that were reported; safe to use from threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Begin with none.

        Args:
            clock: Returns the time in seconds since the epoch.
        """
        self._clock = clock
        self._kept: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._count = 0
        self._begin()
        renew_in_children(self, Decisions._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()

    def report(self, asked: Mapping[str, Any]) -> int:
        """Take a report.

        Args:
            asked: ``service``, and the ``decisions``: objects with ``outcome``, and for a refusal ``status``,
                ``reason``, ``message``, ``method`` and ``path``.

        Returns:
            How many were taken.

        Raises:
            ConfigurationError: If it is no such report.
        """
        service, reported = asked.get("service"), asked.get("decisions")
        if not isinstance(service, str) or not isinstance(reported, list) or len(reported) > _BATCH:
            raise ConfigurationError(f"a report needs a service and at most {_BATCH} decisions")
        read = [_read(one) for one in reported]
        with self._lock:
            for one in read:
                self._count += 1
                named = {"number": self._count, "time": self._clock(), "service": shown(service, _NAME)}
                self._kept.append(named | one)
        return len(read)

    def since(self, number: int) -> list[dict[str, Any]]:
        """List decisions.

        Args:
            number: The number of the last one that is known already; 0 for none.

        Returns:
            Those after it that are still kept, the oldest first.
        """
        with self._lock:
            return [one for one in self._kept if one["number"] > number]


def _read(one: object) -> dict[str, Any]:
    if not isinstance(one, dict) or one.get("outcome") not in _OUTCOMES:
        raise ConfigurationError(f"a decision needs one of the outcomes {', '.join(sorted(_OUTCOMES))}")
    read: dict[str, Any] = {"outcome": one["outcome"], "status": None, "reason": None, "advice": ""}
    status, reason = one.get("status"), one.get("reason")
    if reason is not None:
        if (
            not isinstance(reason, str)
            or reason not in _REASONS
            or type(status) is not int
            or not 0 <= status <= _LARGEST_STATUS
        ):
            raise ConfigurationError("a refusal needs a status, and a reason that this version knows")
        read |= {"status": status, "reason": reason, "advice": _REASONS[reason].advice}
    for name, longest in _TEXTS.items():
        text = one.get(name, "")
        if not isinstance(text, str):
            raise ConfigurationError(f"{name!r} of a decision must be text")
        read[name] = shown(text, longest)
    return read


class _ReportingLog(DoorLog):
    """Logs as every door does, and reports each refusal with what its log line says."""

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._report = report

    def refused(self, refusal: Refusal, request: RequestFacts, headers: RawHeaders = ()) -> None:
        """Log a refusal, and report it."""
        super().refused(refusal, request, headers)
        error = refusal.error
        self._report(
            {
                "outcome": "refused",
                "status": refusal.status,
                "reason": str(error.reason),
                "message": shown(error.message, _SENTENCE),
                "method": shown(request.method, _TEXTS["method"]),
                "path": shown(request.sent_path, _PATH),
            }
        )


class EmulatorListener:
    """Reports the decisions of a door to the emulator, from a thread of its own; for development only.

    A report that cannot be delivered, or for which the emulator is too slow, is dropped: no request waits for
    it. Each decision of a door with a listener takes the full way.

    """

    def __init__(self, service: str, environ: Mapping[str, str] | None = None) -> None:
        """Prepare to report; the thread begins with the first decision.

        Args:
            service: What the page calls the service.
            environ: The environment; the process's own by default.

        Raises:
            ConfigurationError: If the variable names anything but a port of this machine, or is set on Cloud
                Run.
        """
        self._service = service
        host = emulator_in_environment(environ)
        self._url = None if host is None else f"http://{host}{DECISIONS_PATH}"
        self._detailed = False
        self._log = _ReportingLog(self._put)
        self._begin()
        renew_in_children(self, EmulatorListener._begin)

    def _begin(self) -> None:
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(_QUEUED)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        """Show the service, and whether it reports."""
        return f"EmulatorListener({self._service!r}, reports={self._url is not None})"

    @property
    def log(self) -> DoorLog:
        """A log for the same door: once it is taken, refusals are reported with what their log line says."""
        self._detailed = True
        return self._log

    def __call__(self, event: Decided) -> None:
        """Report a decision.

        Args:
            event: The decision.
        """
        if event.reason is None:
            self._put({"outcome": event.outcome})
        elif not self._detailed:
            self._put({"outcome": event.outcome, "status": event.status, "reason": str(event.reason)})

    def flush(self, seconds: float = 5.0) -> bool:
        """Wait until all that was reported so far has been sent or dropped.

        Args:
            seconds: For how long at most.

        Returns:
            Whether it has.
        """
        end = time.monotonic() + seconds
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._queue.all_tasks_done.wait(left)
        return True

    def _put(self, decision: dict[str, Any]) -> None:
        if self._url is None:
            return
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(decision)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    name = "doorward-decisions"
                    self._thread = threading.Thread(
                        target=self._run, args=(self._queue, self._url), name=name, daemon=True
                    )
                    self._thread.start()

    def _run(self, reports: queue.Queue[dict[str, Any]], url: str) -> None:
        import httpx  # noqa: PLC0415 - the emulator, which keeps decisions, starts without it

        failed = False
        with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
            while True:
                batch = [reports.get()]
                with contextlib.suppress(queue.Empty):
                    while len(batch) < _BATCH:
                        batch.append(reports.get_nowait())
                body = {"service": self._service, "decisions": batch}
                try:
                    client.post(url, json=body, headers={CONTROL_HEADER: CONTROL_VALUE}).raise_for_status()
                    failed = False
                except httpx.HTTPError as error:
                    if not failed:
                        _log.warning("decisions do not reach the emulator: %s", type(error).__name__)
                    failed = True
                for _ in batch:
                    reports.task_done()
