"""Log lines of refusals, in the shape in which Cloud Run writes them.

A refusal is logged as plain text by default. Give `CloudRunFormatter` to a handler to have each one as a line
of JSON that Cloud Logging reads as a structured entry
(https://cloud.google.com/logging/docs/structured-logging), with the reason, which Cloud Run's own line leaves
out.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from doorward.door.refusal import Refusal
from doorward.errors import Reason
from doorward.policy.request import RequestFacts

__all__ = ["CloudRunFormatter", "log_refusal"]

_log: Final = logging.getLogger("doorward.door")
_FIELD: Final = "doorward_refusal"

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


def log_refusal(refusal: Refusal, request: RequestFacts) -> None:
    """Log a refusal at WARNING, the severity that Cloud Run gives it.

    Args:
        refusal: The answer that is given.
        request: What was asked for.
    """
    _log.warning("refused with %d: %s", refusal.status, refusal.error, extra={_FIELD: (refusal, request)})


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
        refused: tuple[Refusal, RequestFacts] | None = getattr(record, _FIELD, None)
        if refused is None:
            entry["message"] = record.getMessage()
        else:
            refusal, request = refused
            credential = refusal.reason is not Reason.NO_CREDENTIAL
            entry["message"] = _SENTENCES.get(refusal.status, "Refused.") if credential else _UNAUTHENTICATED
            entry["httpRequest"] = {
                "requestMethod": request.method,
                "requestUrl": request.sent_path,
                "status": refusal.status,
            }
            error = refusal.error
            entry["doorward"] = {"reason": error.reason, "error": error.message, "claim": error.claim}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)
