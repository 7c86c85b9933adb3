"""Log lines of refusals, in the shape in which Cloud Run writes them.

A refusal is logged as plain text by default. Give `CloudRunFormatter` to a handler to have each one as a line
of JSON that Cloud Logging reads as a structured entry
(https://cloud.google.com/logging/docs/structured-logging), with the reason, which Cloud Run's own line leaves
out.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final, TypedDict

from doorward.door.refusal import Refusal
from doorward.errors import Reason
from doorward.policy.request import RequestFacts

__all__ = ["CloudRunFormatter", "LoggedRefusal", "log_refusal"]

_log: Final = logging.getLogger("doorward.door")
_FIELD: Final = "doorward_refusal"
_SHOWN: Final = 500
"""Characters of a value that are logged at most: an error may quote a claim, and a path is the caller's."""

_UNAUTHENTICATED: Final = (
    "The request was not authenticated. Either allow unauthenticated invocations or set the proper "
    "Authorization header. Read more at https://cloud.google.com/run/docs/securing/authenticating Additional "
    "troubleshooting documentation can be found at: "
    "https://cloud.google.com/run/docs/troubleshooting#unauthorized-client"
)
_SENTENCES: Final = {
    401: "The request was not authorized to invoke this service. The access token could not be verified.",
    # What Cloud Run logs for these two is not documented; both sentences are doorward's own.
    403: "The request was not authorized to invoke this service. The caller does not hold the permission.",
    503: "The request could not be checked: the keys or the groups that decide cannot be fetched now.",
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


def log_refusal(refusal: Refusal, request: RequestFacts) -> None:
    """Log a refusal at WARNING, the severity that Cloud Run gives it.

    Args:
        refusal: The answer that is given.
        request: The request.
    """
    error = refusal.error
    logged = LoggedRefusal(
        status=refusal.status,
        reason=str(error.reason),
        error=_clip(error.message),
        claim=error.claim,
        method=_clip(request.method),
        path=_clip(request.sent_path),
    )
    _log.warning(
        "refused with %d: %s: %s", logged["status"], logged["reason"], logged["error"], extra={_FIELD: logged}
    )


def _clip(text: str) -> str:
    """Bound what a caller can have written to the log."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class CloudRunFormatter(logging.Formatter):
    """Formats each record as one line of JSON.

    It has ``severity``, ``logger`` and ``message``, and for a refusal ``httpRequest`` and ``doorward``.
    Records of other loggers are formatted too, so that one handler serves a whole process.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record.

        Args:
            record: Any record.

        Returns:
            One JSON object without a line break.
        """
        entry: dict[str, Any] = {"severity": record.levelname, "logger": record.name}
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
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)
