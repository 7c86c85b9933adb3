"""The events of a key cache, which one listener receives.

Events are plain data, made after the fact: a listener can count, log or export them, and cannot change what
happens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from doorward.errors import FetchError
from doorward.keys.state import KeyState
from doorward.loglimit import LogLimit

__all__ = [
    "FetchFinished",
    "FetchStarted",
    "FetchesHang",
    "KeyEvent",
    "Listener",
    "SetRefused",
    "SnapshotTaken",
    "StaleUsed",
    "StateChanged",
    "UnknownKid",
    "WaitRefused",
    "log_event",
]

_log: Final = logging.getLogger("doorward.keys")
_frequent: Final = LogLimit(_log, logging.DEBUG, "events of a key cache")


@dataclass(frozen=True, slots=True)
class FetchStarted:
    """A fetch was started.

    Attributes:
        url: The key endpoint.
        trigger: Why: ``cold`` (no usable keys were held), ``refresh`` (the keys are ageing or stale),
            ``unknown_kid`` (a token named a key id that is not held) or ``asked`` (`KeyCache.refresh`).
    """

    url: str
    trigger: str


@dataclass(frozen=True, slots=True)
class FetchFinished:
    """A fetch is over.

    Attributes:
        url: The key endpoint.
        trigger: As in `FetchStarted`.
        outcome: ``changed`` (another key set), ``unchanged`` (the same key set), ``not_modified`` (304) or
            ``failed``.
        seconds: How long it took, in seconds.
        kids: The key ids that are held now.
        refused: The published keys that are not used, as ``kid: why``.
        error: Why it failed; None if it did not.
    """

    url: str
    trigger: str
    outcome: str
    seconds: float
    kids: tuple[str, ...]
    refused: tuple[str, ...]
    error: FetchError | None


@dataclass(frozen=True, slots=True)
class FetchesHang:
    """A fetch was given up, and its thread has not ended.

    Attributes:
        url: The key endpoint.
        hanging: How many such threads there are. At 3, no other fetch is started until one of them ends.
    """

    url: str
    hanging: int


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """Keys were taken from the snapshot, which another process has written.

    Attributes:
        url: The key endpoint.
        trigger: Why keys were needed, as in `FetchStarted`; or ``snapshot``, if none were held and the
            endpoint was left alone after a failure.
        age: Seconds since the endpoint last confirmed them.
        kids: The key ids that are held now.
    """

    url: str
    trigger: str
    age: float
    kids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetRefused:
    """An answer came, and was refused whole: what the endpoint publishes needs a look.

    Attributes:
        url: The key endpoint.
        error: What is wrong with the answer.
    """

    url: str
    error: FetchError


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A read or a fetch saw the cache in another state than the one before.

    Attributes:
        url: The key endpoint.
        before: The state that was seen last.
        after: The state now.
    """

    url: str
    before: KeyState
    after: KeyState


@dataclass(frozen=True, slots=True)
class StaleUsed:
    """Keys past their freshness were used, since the endpoint gives no good answer.

    Attributes:
        url: The key endpoint.
        age: Seconds since the endpoint last confirmed them.
    """

    url: str
    age: float


@dataclass(frozen=True, slots=True)
class UnknownKid:
    """A token named a key id that is not held, and was refused for it.

    Attributes:
        url: The key endpoint.
        outcome: ``absent`` (the endpoint was asked, and does not publish the key), ``remembered`` (it was
            asked in the last 60 s), ``no_budget`` (it was not asked) or ``no_seat`` (it is being asked, and
            as many requests as may wait for that do so already).
    """

    url: str
    outcome: str


@dataclass(frozen=True, slots=True)
class WaitRefused:
    """A request was refused at once since no usable keys are held, and as many as may wait for them do so.

    Attributes:
        url: The key endpoint.
    """

    url: str


KeyEvent = (
    FetchStarted
    | FetchFinished
    | FetchesHang
    | SnapshotTaken
    | SetRefused
    | StateChanged
    | StaleUsed
    | UnknownKid
    | WaitRefused
)
"""Any event of a key cache."""

Listener = Callable[[KeyEvent], None]
"""Receives the events of a key cache: those of a read in the thread of the reader, those of a fetch in a
thread that no request waits for. An exception that it raises is logged, and changes nothing."""


def log_event(event: KeyEvent) -> None:
    """Log what an operator wants to read, to the logger ``doorward.keys``; the default listener.

    Events that come once for each request (stale uses, unknown key ids, refused waits) are logged at level
    DEBUG, and under a flood in part, since callers can cause them (`doorward.loglimit`).

    Args:
        event: What happened.
    """
    match event:
        case FetchFinished(error=FetchError() as error):
            held = "the keys held before are kept" if event.kids else "no keys are held"
            _log.warning("the fetch (%s) from %s failed, %s: %s", event.trigger, event.url, held, error)
        case FetchFinished(outcome="changed"):
            _log.info("keys of %s: %s", event.url, ", ".join(map(repr, event.kids)))
            for refused in event.refused:
                _log.warning("a key of %s is not used: %s", event.url, refused)
        case FetchesHang():
            _log.error("fetches from %s that were given up and have not ended: %d", event.url, event.hanging)
        case SnapshotTaken():
            _log.info(
                "keys of %s were taken from another process: %s", event.url, ", ".join(map(repr, event.kids))
            )
        case SetRefused():
            _log.error("the key set of %s was refused whole: %s", event.url, event.error)
        case StateChanged(after=KeyState.STALE | KeyState.DEAD):
            _log.warning("the keys of %s are %s", event.url, event.after)
        case StateChanged():
            _log.info("the keys of %s are %s", event.url, event.after)
        case _ if _frequent.allows(type(event).__name__):
            _log.debug("%s", event)
        case _:
            pass
