"""The access log: one line of JSON for each request, as Cloud Run writes them.

The members of ``httpRequest`` are those of
https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest. Which service it was, who
called, and why a request was refused stand in ``doorward``. The query is left out, and what looks like a
token is cut, since both may hold what must not be logged.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from doorward.shown import shown
from doorward_integrations.gateway.record import Record

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["ACCESS_LOG", "AccessLog", "log_unread"]

ACCESS_LOG: Final = "doorward.gateway.access"
"""The name of the logger, at INFO; its messages are the lines."""

_log: Final = logging.getLogger(ACCESS_LOG)
_LONGEST: Final = 500
_TOKEN: Final = re.compile(r"(eyJ[A-Za-z0-9_-]{5})[A-Za-z0-9_.=-]{8,}")
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400


class AccessLog:
    """Writes the lines of requests.

    Args:
        wall: The clock of the lines, in seconds since the epoch.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        """Take the clock."""
        self._wall: Final = wall

    def write(self, scope: Scope, record: Record, seconds: float) -> None:
        """Write the line of a request, whose answer has ended.

        Args:
            scope: Its scope, as the server has made it.
            record: What was noted of it.
            seconds: How long it took.
        """
        if not _log.isEnabledFor(logging.INFO):
            return
        sent: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        host = sent.get(b"host", b"").decode("latin-1")
        path = (scope.get("raw_path") or b"").decode("latin-1")
        scheme = scope["scheme"].replace("ws", "http")
        request: dict[str, Any] = {
            "requestMethod": shown(scope.get("method", "GET"), 20),
            "requestUrl": _safe(f"{scheme}://{host}{path}"),
            "requestSize": str(record.received),
            "status": record.status,
            "responseSize": str(record.sent),
            "userAgent": _safe(sent.get(b"user-agent", b"").decode("latin-1")),
            "remoteIp": (scope.get("client") or ("",))[0],
            "latency": f"{seconds:.6f}s",
            "protocol": f"HTTP/{scope.get('http_version', '1.1')}",
        }
        noted = {
            "service": record.service,
            "member": record.member,
            "reason": record.reason,
            "error": _safe(record.error),
        }
        entry: dict[str, Any] = {
            "severity": _severity(record.status),
            "time": dt.datetime.fromtimestamp(self._wall(), dt.UTC).isoformat(),
            "httpRequest": request,
            "doorward": {name: value for name, value in noted.items() if value},
        }
        if record.trace_id:
            entry["logging.googleapis.com/trace"] = record.trace_id
        _log.info("%s", json.dumps(entry))


def log_unread(client: str, status: int, why: str) -> None:
    """Write the line of a request that could not be read.

    Args:
        client: The address of the client.
        status: The status of the answer.
        why: The reason.
    """
    entry = {
        "severity": "WARNING",
        "httpRequest": {"status": status, "remoteIp": client},
        "doorward": {"reason": why},
    }
    _log.info("%s", json.dumps(entry))


def _severity(status: int) -> str:
    if status >= _SERVER_ERROR:
        return "ERROR"
    return "WARNING" if status >= _CLIENT_ERROR else "INFO"


def _safe(text: str) -> str:
    return shown(_TOKEN.sub(r"\1…", text[: _LONGEST * 4]), _LONGEST)
