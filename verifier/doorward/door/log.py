"""Log lines of refusals, in the shape in which Cloud Run writes them.

A refusal is logged as plain text by default. Give `CloudRunFormatter` to a handler to have each one as a line
of JSON that Cloud Logging reads as a structured entry
(https://cloud.google.com/logging/docs/structured-logging), with the reason, which Cloud Run's own line leaves
out.

Who sends bad requests decides neither how long a line is nor how many there are (`doorward.loglimit`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any, Final, TypedDict

from doorward.door.credentials import RawHeaders
from doorward.door.refusal import Refusal
from doorward.door.trace import Trace, read_trace
from doorward.errors import ConfigurationError, Reason, RefusedError
from doorward.loglimit import SUMMARY, Later, LogLimit, LogSummary
from doorward.policy.request import RequestFacts
from doorward.shown import shown

__all__ = ["CloudRunFormatter", "DoorLog", "LoggedRefusal"]

_log: Final = logging.getLogger("doorward.door")
_FIELD: Final = "doorward_refusal"
# Characters of a value that are logged at most: an error may quote a claim or name an address, and the path
# is the caller's.
_SENTENCE: Final = 500
_PATH: Final = 200
_METHOD: Final = 20

# https://cloud.google.com/logging/docs/agent/logging/configuration#special-fields
_FIELDS: Final = "logging.googleapis.com"
_SEVERITIES: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
_PROJECT_VARIABLE: Final = "GOOGLE_CLOUD_PROJECT"

_UNAUTHENTICATED: Final = (
    "The request was not authenticated. Either allow unauthenticated invocations or set the proper "
    "Authorization header. Read more at https://cloud.google.com/run/docs/securing/authenticating Additional "
    "troubleshooting documentation can be found at: "
    "https://cloud.google.com/run/docs/troubleshooting#unauthorized-client"
)
_SENTENCES: Final = {
    401: "The request was not authorized to invoke this service. The access token could not be verified.",
    # What Cloud Run logs for these is not documented; the sentences are doorward's own.
    403: "The request was not authorized to invoke this service. The caller does not hold the permission.",
    404: "The request names no service.",
    503: "The request could not be checked: keys, policy or groups are not available now.",
}


class LoggedRefusal(TypedDict):
    """What a log record carries of a refusal, in its attribute ``doorward_refusal``: plain data only.

    A record may leave the process, or be written with all that it refers to; so it refers to no request, no
    error and no frame.
    """

    status: int
    reason: str
    error: str
    claim: str | None
    method: str
    path: str
    trace: Trace | None


class DoorLog:
    """Logs what a door decides: each refusal, and who is admitted without being verified.

    Refusals are logged at WARNING, the severity that Cloud Run gives them. Under a flood the first refusal of
    each reason and some more are written, and the rest is summed up by reason; see
    `doorward.loglimit.LogLimit`. A listener of the door still receives every decision.
    """

    def __init__(
        self,
        *,
        lines: int = 20,
        seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        """Begin with nothing logged.

        Args:
            lines: Refusals that are written in each window of time, besides the first one of each reason.
            seconds: The length of a window.
            monotonic: A clock that never goes back, in seconds.
            later: Calls a function at the end of a window; in a thread by default.

        Raises:
            ConfigurationError: If `lines` is negative or no whole number, or `seconds` is not positive.
        """

        def limit(level: int, what: str) -> LogLimit:
            return LogLimit(_log, level, what, lines=lines, seconds=seconds, monotonic=monotonic, later=later)

        self._refusals: Final = limit(logging.WARNING, "refused")
        self._anonymous: Final = limit(logging.INFO, "admitted as anonymous")

    def refused(self, refusal: Refusal, request: RequestFacts, headers: RawHeaders = ()) -> None:
        """Log a refusal, or count it.

        Args:
            refusal: The answer that is given.
            request: The request.
            headers: Its headers, of which only those that name its trace are read, if a line is written.
        """
        error = refusal.error
        if not self._refusals.allows(str(error.reason)):
            return
        logged = LoggedRefusal(
            status=refusal.status,
            reason=str(error.reason),
            error=shown(error.message, _SENTENCE),
            claim=None if error.claim is None else shown(error.claim, _METHOD),
            method=shown(request.method, _METHOD),
            path=shown(request.sent_path, _PATH),
            trace=read_trace(headers),
        )
        _log.warning(
            "refused with %d: %s: %s",
            logged["status"],
            logged["reason"],
            logged["error"],
            extra={_FIELD: logged},
        )

    def admitted_as_anonymous(self, error: RefusedError) -> None:
        """Log, at INFO, that the policy admits everyone, or count it.

        Args:
            error: Why no caller was verified.
        """
        if self._anonymous.allows(str(error.reason)):
            _log.info("admitted as anonymous: %s: %s", error.reason, shown(error.message, _SENTENCE))


class CloudRunFormatter(logging.Formatter):
    """Formats each record as one line of JSON.

    It has ``severity``, ``logger`` and ``message``, for a refusal ``httpRequest`` and ``doorward``, and for a
    summary of what was not written, ``doorward``. A refusal whose request names a trace has
    ``logging.googleapis.com/trace``, ``…/spanId`` and ``…/trace_sampled`` besides, if the project is known:
    by them Cloud Logging shows it beside the other lines of that request.
    Records of other loggers are formatted too, so that one handler serves a whole process.
    """

    def __init__(self, *args: Any, project: str | None = None, **settings: Any) -> None:  # noqa: ANN401 - passed on
        """Name the project.

        Args:
            *args: As for `logging.Formatter`; `logging.config` passes them.
            project: The id of the project whose traces the requests belong to; by default what
                ``GOOGLE_CLOUD_PROJECT`` names, if it is set.
            **settings: As for `logging.Formatter`.

        Raises:
            ConfigurationError: If it is not the id of a project.
        """
        super().__init__(*args, **settings)
        named = os.environ.get(_PROJECT_VARIABLE) if project is None else project
        if named and re.fullmatch(r"[a-z0-9][a-z0-9.:-]*", named) is None:
            which = f"project={project!r}" if project is not None else f"{_PROJECT_VARIABLE}={named!r}"
            raise ConfigurationError(f"{which} must be the id of a project, such as my-project")
        self._project: Final = named or None

    def format(self, record: logging.LogRecord) -> str:
        """Format a record.

        Args:
            record: Any record.

        Returns:
            One JSON object without a line break.
        """
        severity = record.levelname if record.levelname in _SEVERITIES else "DEFAULT"
        entry: dict[str, Any] = {"severity": severity, "logger": record.name}
        refused: LoggedRefusal | None = getattr(record, _FIELD, None)
        if refused is None:
            entry["message"] = record.getMessage()
        else:
            status, reason = refused["status"], refused["reason"]
            credential = reason != Reason.NO_CREDENTIAL
            entry["message"] = _SENTENCES.get(status, "Refused.") if credential else _UNAUTHENTICATED
            entry["httpRequest"] = {
                "requestMethod": refused["method"],
                "requestUrl": refused["path"],
                "status": status,
            }
            entry["doorward"] = {"reason": reason, "error": refused["error"], "claim": refused["claim"]}
            entry |= self._place(refused["trace"])
        summary: LogSummary | None = getattr(record, SUMMARY, None)
        if summary is not None:
            entry["doorward"] = summary
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)

    def _place(self, trace: Trace | None) -> dict[str, Any]:
        """Return the fields that put an entry into its trace; the name of a trace needs the project."""
        if trace is None or self._project is None:
            return {}
        place: dict[str, Any] = {
            f"{_FIELDS}/trace": f"projects/{self._project}/traces/{trace['trace']}",
            f"{_FIELDS}/trace_sampled": trace["sampled"],
        }
        return place if trace["span"] is None else place | {f"{_FIELDS}/spanId": trace["span"]}
