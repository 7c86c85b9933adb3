"""What happens in a key cache, told to one listener.

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

__all__ = [
    "FetchFinished",
    "FetchStarted",
    "KeyEvent",
    "Listener",
    "SetRefused",
    "StaleUsed",
    "StateChanged",
    "UnknownKid",
    "log_event",
]

_log: Final = logging.getLogger("doorward.keys")


@dataclass(frozen=True, slots=True)
class FetchStarted:
    """A fetch has begun.

    Attributes:
        url: The key endpoint.
        trigger: What for: ``cold``, ``refresh``, ``unknown_kid`` or ``asked``.
    """

    url: str
    trigger: str


@dataclass(frozen=True, slots=True)
class FetchFinished:
    """A fetch is over.

    Attributes:
        url: The key endpoint.
        trigger: As `FetchStarted` had it.
        outcome: ``changed`` (another key set), ``unchanged`` (the same one), ``not_modified`` (304) or
            ``failed``.
        seconds: How long it took.
        kids: The key ids that are usable now.
        refused: The published keys that are not used, as ``kid: why``.
        error: Why it failed; else None.
    """

    url: str
    trigger: str
    outcome: str
    seconds: float
    kids: tuple[str, ...]
    refused: tuple[str, ...]
    error: FetchError | None


@dataclass(frozen=True, slots=True)
class SetRefused:
    """An answer came, and had to be refused whole: somebody should look at what is published there.

    Attributes:
        url: The key endpoint.
        error: What is wrong with it.
    """

    url: str
    error: FetchError


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The cache was seen in another state than before.

    Attributes:
        url: The key endpoint.
        before: The state it was seen in before.
        after: The state it is in.
    """

    url: str
    before: KeyState
    after: KeyState


@dataclass(frozen=True, slots=True)
class StaleUsed:
    """Keys past their freshness were used, since the endpoint is away.

    Attributes:
        url: The key endpoint.
        age: Seconds since it last confirmed them.
    """

    url: str
    age: float


@dataclass(frozen=True, slots=True)
class UnknownKid:
    """A token named a key id that is not known.

    Attributes:
        url: The key endpoint.
        outcome: ``absent`` (the endpoint was asked and does not have it), ``remembered`` (it was asked a
            moment ago) or ``no_budget`` (it was not asked).
    """

    url: str
    outcome: str


KeyEvent = FetchStarted | FetchFinished | SetRefused | StateChanged | StaleUsed | UnknownKid
Listener = Callable[[KeyEvent], None]


def log_event(event: KeyEvent) -> None:
    """Log what an operator wants to read, with the standard library; the default listener.

    What comes once for each request (stale uses, unknown key ids) is logged for debugging only.

    Args:
        event: What happened.
    """
    match event:
        case FetchFinished(error=FetchError() as error):
            _log.warning("no keys from %s (%s), the old ones stay: %s", event.url, event.trigger, error)
        case FetchFinished(outcome="changed"):
            _log.info("keys of %s: %s", event.url, ", ".join(map(repr, event.kids)))
            for refused in event.refused:
                _log.warning("a key of %s is not used: %s", event.url, refused)
        case SetRefused():
            _log.error("the key set of %s was refused whole: %s", event.url, event.error)
        case StateChanged(after=KeyState.STALE | KeyState.DEAD):
            _log.warning("the keys of %s are %s", event.url, event.after)
        case StateChanged():
            _log.info("the keys of %s are %s", event.url, event.after)
        case _:
            _log.debug("%s", event)
