"""A policy file that is watched, with clocks moved by hand, and what its listener receives."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from doorward import WatchedPolicy
from doorward.keys.state import KeyState
from doorward.policy.decision import Decision
from doorward.policy.request import ANYWHERE
from doorward.policy.watching.events import LookFinished, PolicyEvent, PolicyStateChanged
from support.clock import ManualClock
from support.policies import principal
from support.simulator import PATIENCE, join_fetches, join_follow_ups
from support.tokens import MEMBER

__all__ = ["WatchedFile", "absent", "broken", "write_policy"]

E = TypeVar("E", bound=PolicyEvent)


def write_policy(path: Path, *members: str) -> None:
    path.write_text(json.dumps({"bindings": [{"role": "roles/run.invoker", "members": [*members]}]}))


def absent(path: Path) -> None:
    """Leave no file in its place."""
    del path


def broken(path: Path) -> None:
    """Leave a file that is no policy."""
    path.write_text('{"bindings": 7}')


class WatchedFile:
    """A file that grants the tests' caller at first, and the policy that follows it.

    Attributes:
        path: The file.
        wall: The wall clock.
        monotonic: The monotonic clock, which starts far from the other, so that they cannot be mixed up.
        policy: The policy.
    """

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        if not path.exists():
            self.write(MEMBER)
        self.wall = ManualClock()
        self.monotonic = ManualClock(5_000.0)
        self._events: list[PolicyEvent] = []
        made: dict[str, Any] = {
            "clock": self.wall,
            "monotonic": self.monotonic,
            "listener": self._events.append,
        }
        self.policy = WatchedPolicy(path, **{**made, **settings})

    # The file.

    def write(self, *members: str) -> None:
        write_policy(self.path, *members)

    def replace(self, make: Callable[[Path], object]) -> None:
        """Put something else in its place."""
        self.path.unlink()
        make(self.path)

    def keeping_times(self, write: Callable[[], object]) -> None:
        """Change the file, and set its time back, as a copy that preserves times does."""
        before = self.path.stat()
        write()
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))

    # Time.

    def pass_time(self, seconds: float) -> None:
        self.wall.move(seconds)
        self.monotonic.move(seconds)

    # What requests get.

    def decide(self) -> Decision:
        """Decide as a door does: wait for the look, if there is one to wait for."""
        decision = self.policy.current.decide(principal(), ANYWHERE, 0.0)
        while decision.pending is not None:
            assert decision.pending.wait(PATIENCE)
            decision = self.policy.current.decide(principal(), ANYWHERE, 0.0)
        return decision

    @property
    def granted(self) -> bool:
        """Whether a request is granted, once a look that is due is over."""
        self.look()
        return self.decide().granted

    def look(self) -> None:
        """Have the file looked at, if it is time for that, by the request that comes now."""
        _ = self.policy.current
        join_fetches()

    @property
    def state(self) -> KeyState:
        return self.policy.state

    # What was reported.

    def events(self, kind: type[E]) -> list[E]:
        join_follow_ups()
        return [event for event in self._events if isinstance(event, kind)]

    @property
    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events(LookFinished)]

    @property
    def failures(self) -> list[tuple[str | None, str | None]]:
        join_follow_ups()
        return self.failures_so_far

    @property
    def failures_so_far(self) -> list[tuple[str | None, str | None]]:
        """The same, where a look or a listener hangs on purpose."""
        found = [event for event in self._events if isinstance(event, LookFinished)]
        return [(event.stage, event.error) for event in found if event.outcome == "failed"]

    @property
    def states(self) -> list[str]:
        return [str(event.after) for event in self.events(PolicyStateChanged)]
