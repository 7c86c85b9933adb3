"""The answer of a readiness probe, the same for every framework.

A probe carries no credential: where a door stands in front of the whole application, it must exempt the path,
``Door(..., exempt=[("GET", "/readyz")])``.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from doorward.door.base import BaseDoor
from doorward.door.readiness import ready

__all__ = ["READINESS_PATH", "ReadinessAnswer", "readiness_answer"]

READINESS_PATH: Final = "/readyz"
"""Where the adapters answer, unless another path is given."""

_SHOWN: Final = ("part", "name", "ready", "state", "why")
"""What any sender may read. The last error is left out: it may name hosts and files, or quote a policy."""


class ReadinessAnswer(NamedTuple):
    """An answer to send.

    Attributes:
        status: 200 if the door can decide now, else 503.
        headers: Names and values.
        body: JSON: ``ready``, and ``parts`` with what each of them lacks.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def readiness_answer(door: BaseDoor, method: str = "GET") -> ReadinessAnswer:
    """Answer whether a door can decide now; see `doorward.door.readiness.ready`.

    Args:
        door: The door.
        method: The method of the request; ``HEAD`` is answered without a body.

    Returns:
        The answer.
    """
    found = ready(door)
    parts = [{name: value for name, value in part.items() if name in _SHOWN} for part in found["parts"]]
    body = json.dumps({"ready": found["ready"], "parts": parts}).encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
    ]
    return ReadinessAnswer(200 if found["ready"] else 503, headers, b"" if method == "HEAD" else body)
