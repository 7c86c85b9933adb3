"""Whether a door can decide now, part by part, for a readiness probe.

A load balancer sends no request to what is not ready, and keys are fetched, and a file is read again, only on
use. So a probe is a use: it starts what is missing, in a thread of its own, and never waits for it.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypedDict, cast

from doorward.door.base import BaseDoor
from doorward.errors import KeysUnavailableError
from doorward.keys.source import KeySource
from doorward.loglimit import LogLimit
from doorward.policy.source import FixedPolicy, PolicySource
from doorward.tokens.verifier import engine_of

__all__ = ["PartReadiness", "Readiness", "ready"]

_log: Final = logging.getLogger("doorward.door")
_failures: Final = LogLimit(_log, logging.ERROR, "key sources that failed to warm", lines=0)
_THREAD: Final = "doorward-warm"

Part = Literal["keys", "policy", "groups"]


class PartReadiness(TypedDict):
    """Whether one part of a door can decide now.

    Attributes:
        part: ``keys`` of one issuer, the ``policy``, or the directory of its ``groups``.
        name: The name of the issuer, or the type of what gives the policy or the groups.
        ready: Whether it can decide now.
        state: The state, in its own words, as in `doorward.keys.state.KeyState`; None if it has none.
        why: What is not as it should be, in words of doorward's own; None if all is well. A part may be ready
            and yet have something to say: keys may be used while their endpoint is away.
        last_error: The last failure, for the operator: it may name files and hosts, or quote a policy.
    """

    part: Part
    name: str
    ready: bool
    state: str | None
    why: str | None
    last_error: str | None


class Readiness(TypedDict):
    """What `ready` returns; it can be written as JSON.

    Attributes:
        ready: Whether the keys of every issuer and the policy can decide now. Groups do not count: where
            their directory is away, their members are refused with 503 and every other caller is still
            decided on, which no instance that is taken out could do better.
        parts: Each part.
    """

    ready: bool
    parts: list[PartReadiness]


def ready(door: BaseDoor) -> Readiness:
    """Say whether a door can decide now, and start what it lacks. This never waits, for no endpoint.

    Args:
        door: The door.

    Returns:
        Plain data: each part, and why it is not ready.
    """
    deciding = door.parts
    verifiers = [*(verifier for verifier, _ in deciding), door.end_user_verifier]
    engines = [engine_of(one) for one in verifiers if one is not None]
    # The doors of several services share their key sources.
    accepted = {id(one.key_source): (one, engine) for engine in engines for one in engine.issuers}
    parts = [_keys(one.issuer.name, one.key_source, engine.clock()) for one, engine in accepted.values()]
    if not all(part["ready"] for part in parts):
        _warm_aside(door, [one.key_source for one, _ in accepted.values()])
    parts += [part for _, source in deciding for part in _policy(source)]
    return Readiness(ready=all(part["ready"] for part in parts if part["part"] != "groups"), parts=parts)


def _keys(name: str, source: KeySource, now: float) -> PartReadiness:
    # Asked as for a token, so that keys of some age are refreshed.
    return _part("keys", name, source, usable=source.keys(now) is not None)


def _policy(source: PolicySource) -> Iterator[PartReadiness]:
    policy = source.current  # looks whether the file has changed, if it is one
    named = policy if isinstance(source, FixedPolicy) else source
    yield _part("policy", type(named).__name__, source)
    for directory in getattr(policy, "group_directories", ()):
        yield _part("groups", type(directory).__name__, directory)


def _part(part: Part, name: str, source: object, *, usable: bool = True) -> PartReadiness:
    """Describe a part by what it has: ``health()``, or ``ready``; else it is taken as given."""
    health = getattr(source, "health", None)
    known = cast("Mapping[str, Any]", health()) if callable(health) else {}
    is_ready = bool(known.get("ready", getattr(source, "ready", usable)))
    state, error = known.get("state"), known.get("last_error")
    why = None
    if not is_ready or error is not None:
        why = f"the {part} cannot decide now" if not is_ready else f"the {part} can decide"
        why += f", in the state {str(state)!r}" if state is not None else ""
        why += "; the last attempt to renew failed" if error is not None else ""
    return PartReadiness(
        part=part,
        name=name,
        ready=is_ready,
        state=None if state is None else str(state),
        why=why,
        last_error=None if error is None else str(error),
    )


_warming: Final[weakref.WeakKeyDictionary[BaseDoor, threading.Thread]] = weakref.WeakKeyDictionary()


def _warm_aside(door: BaseDoor, sources: list[KeySource]) -> None:
    """Warm the keys in a thread, one for each door. A forked process has none of its parent's threads."""
    under_way = _warming.get(door)
    if under_way is not None and under_way.is_alive():
        return
    thread = threading.Thread(target=_warm, args=(sources,), name=_THREAD, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return  # no thread can be started; the next probe tries again
    # Two probes at one moment may start two threads: their fetch is one all the same.
    _warming[door] = thread


def _warm(sources: list[KeySource]) -> None:
    for source in sources:
        try:
            source.warm()
        except KeysUnavailableError:
            continue  # the source has reported it, and asks again no sooner than it may
        except Exception as error:  # noqa: BLE001 - a source of the application's own may raise anything
            if _failures.allows(type(error).__name__):
                _log.exception("warming %s failed", type(source).__name__)
