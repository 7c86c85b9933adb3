"""What a sender does with one event: its requests, what it takes for a success, and how it waits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from doorward.errors import ConfigurationError

__all__ = [
    "Attempt",
    "Doublings",
    "Outgoing",
    "Plan",
    "exponential",
    "merged",
    "rfc3339",
    "success",
    "unchanged",
]

_MOST_DOUBLINGS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request that was made.

    Attributes:
        number: 1 for the first.
        waited: Seconds that were waited before it.
        status: The status of the answer; None if there was none.
        error: Why there was no answer; empty if there was one.
        retry_after: The seconds that the answer asks for in ``Retry-After``; None if it does not.
        answer: The first 64 KiB of the answer's body.
    """

    number: int
    waited: float
    status: int | None
    error: str = ""
    retry_after: float | None = None
    answer: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request before its token is attached.

    Attributes:
        headers: Its headers, as the sender writes them.
        body: Its body.
        method: Its method.
    """

    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


def success(status: int) -> bool:
    """Return whether a status is from 200 to 299.

    Args:
        status: The status of an answer.
    """
    return 200 <= status <= 299  # noqa: PLR2004 - the class 2xx


def unchanged(outgoing: Outgoing) -> Callable[[Sequence[Attempt]], Outgoing]:
    """Return the requests of a sender that does not say in them which attempt it makes.

    Args:
        outgoing: Every request.
    """
    return lambda _: outgoing


def exponential(least: float, most: float, *, factor: float = 2.0) -> Callable[[Sequence[Attempt]], float]:
    """Return a wait that grows by a factor with every retry.

    Args:
        least: Seconds before the first retry.
        most: Seconds before a retry at most.
        factor: How much longer each wait is than the one before it.

    Returns:
        A function of the attempts so far.
    """

    def wait(attempts: Sequence[Attempt]) -> float:
        try:
            return min(least * factor ** (len(attempts) - 1), most)
        except OverflowError:
            return most

    return wait


_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What a task, a job or a step cannot set: the token's place, and what frames the request.
_NOT_SET: Final = frozenset(
    {"authorization", "connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding"}
    | {"upgrade"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doublings:
    """The wait of Cloud Tasks and Cloud Scheduler: it doubles some times, then grows by the same step.

    Attributes:
        least: Seconds before the first retry.
        most: Seconds before a retry at most.
        doublings: How often the wait doubles; after that it grows by ``2 ** doublings * least``.
    """

    least: float
    most: float
    doublings: int

    def __post_init__(self) -> None:
        """Refuse what no wait can be made of.

        Raises:
            ConfigurationError: If a number is negative, or the least wait is the longer one.
        """
        if not 0 <= self.least <= self.most or not 0 <= self.doublings <= _MOST_DOUBLINGS:
            raise ConfigurationError(
                f"waits of {self.least} to {self.most} s with {self.doublings} doublings cannot be: the "
                "least must not be negative or longer than the most, and doublings must be 0 or more"
            )

    def __call__(self, attempts: Sequence[Attempt]) -> float:
        """Return the seconds before the next attempt.

        Args:
            attempts: The attempts so far.
        """
        retry = len(attempts)
        doubled = min(retry - 1, self.doublings)
        steps = max(retry - self.doublings, 1)
        return min(self.least * float(1 << doubled) * steps, self.most)


def merged(given: Mapping[str, str] | None, own: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request: those that its owner has set, and over them the sender's own.

    Args:
        given: What the owner of the task, job or step has set.
        own: What the sender writes, whatever was set.

    Returns:
        The headers, each name once. Those that no owner can set are left out, as the senders ignore them.

    Raises:
        ConfigurationError: If one cannot be sent.
    """
    ours = {name.lower() for name in own} | _NOT_SET
    kept: dict[str, str] = {}
    for name, value in (given or {}).items():
        plain = value.isascii() and value.isprintable() and value == value.strip()
        if _HEADER_NAME.fullmatch(name) is None or not plain:
            raise ConfigurationError(f"the header {name!r} cannot be sent: its value must be printable ASCII")
        if name.lower() not in ours:
            kept[name] = value
    return kept | dict(own)


def rfc3339(seconds: float) -> str:
    """Write a time as Google's APIs do.

    Args:
        seconds: Seconds since the epoch.

    Returns:
        Such as ``2026-09-21T14:13:20.250Z``.
    """
    text = datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sender does with one event.

    Attributes:
        sender: Its name.
        url: The endpoint.
        account: The service account of the tokens.
        audience: The audience of the tokens.
        request: Makes the next request from the attempts so far.
        wait: Seconds until the next attempt, from those so far.
        accepts: Whether a status is a success.
        retries: Whether the sender tries again after an attempt that was no success.
        attempts: How many attempts it makes at most; None if only `lasting` bounds them.
        lasting: For how many seconds it goes on; None if only `attempts` bounds it.
        deadline: Seconds that one request may take.
        dead_letter: Makes what the dead-letter topic receives; None if there is no such topic.
    """

    sender: str
    url: str
    account: str
    audience: str
    request: Callable[[Sequence[Attempt]], Outgoing]
    wait: Callable[[Sequence[Attempt]], float]
    accepts: Callable[[int], bool] = success
    retries: Callable[[Attempt], bool] = lambda _: True
    attempts: int | None = None
    lasting: float | None = None
    deadline: float = 10.0
    dead_letter: Callable[[Sequence[Attempt]], Mapping[str, Any]] | None = None
