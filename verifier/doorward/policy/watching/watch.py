"""A policy file that is followed, without a restart, when it changes.

Readers take no lock, and none of them reads the file: they read one reference to an immutable `HeldPolicy`.
The file is looked at by a `Look`, in a thread of its own. A look that fails changes only when the next one
may start; what was not taken is looked at again. The last good policy decides meanwhile, up to a bound.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Unpack

from doorward.errors import ConfigurationError
from doorward.keys.state import KeyState
from doorward.policy.documents.bindings import PolicySettings
from doorward.policy.iam import InvokerPolicy
from doorward.policy.source import Policy
from doorward.policy.watching.events import PolicyListener, log_policy_event
from doorward.policy.watching.file import LoadPolicy, PolicyFile
from doorward.policy.watching.health import PolicyHealth
from doorward.policy.watching.held import HeldPolicy, UndecidedPolicy
from doorward.policy.watching.looks import LONGEST_WAIT, Looks
from doorward.policy.watching.reporter import PolicyReporter

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WatchedPolicy"]


class WatchedPolicy:
    """The policy in a file, as the file is now: a source of policies for a door.

    The file is looked at on use, once in `check_every` seconds, in a thread of its own. Requests go on with
    the policy that is held, except after a time without requests: where the file was not looked at for twice
    as long (and at least 1 s), they wait for a look, for 1 s at most. If the file cannot be read, or is not a
    policy, it is looked at again, with growing pauses of 30 s at most. The last good policy decides
    meanwhile, until it is `max_stale` seconds old. From then on nothing is granted, and the door answers 503.

    Args:
        path: The file: a regular one, of at most 1 MiB.
        check_every: Seconds between two looks; 0 looks with each request.
        max_stale: Seconds since the last good look for which the policy still decides while looks fail; 0
            forbids it, and ``math.inf`` lets it go on without an end.
        listener: Receives the events; logs them by default.
        clock: Wall clock, in seconds since the epoch.
        monotonic: Monotonic clock, in seconds.
        load: Makes the policy from the path, if that takes more than `InvokerPolicy.from_file`, such as
            `InvokerPolicy.with_deny` or `InvokerPolicy.join`; only `path` is watched. It is called in the
            thread of a look.
        **settings: For `InvokerPolicy.from_file`.

    Raises:
        PolicyError: If the file is not a policy.
        ConfigurationError: If the file cannot be read, or a setting is not usable.

    Attributes:
        path: The file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        check_every: float = 5.0,
        max_stale: float = 3_600.0,
        listener: PolicyListener = log_policy_event,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        load: LoadPolicy | None = None,
        **settings: Unpack[PolicySettings],
    ) -> None:
        """Take the settings, which the class describes, and read the file for the first time."""
        from pathlib import Path  # noqa: PLC0415 - slow to import

        if not 0 <= check_every < math.inf:
            raise ConfigurationError(f"check_every must be 0 or more seconds, not {check_every}")
        if not max_stale >= 0:
            raise ConfigurationError(
                f"max_stale must be 0 or more seconds, or math.inf to go on without an end, not {max_stale}"
            )
        if load is not None and settings:
            raise ConfigurationError("pass the settings of the policy inside load, not beside it")
        self.path: Final[Path] = Path(path)
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._reporter: Final = PolicyReporter(os.fspath(path), listener)
        self._looks: Final = Looks(
            PolicyFile(self.path, load or (lambda file: InvokerPolicy.from_file(file, **settings))),
            check_every=check_every,
            max_stale=max_stale,
            reporter=self._reporter,
            clock=clock,
            monotonic=monotonic,
        )

    @property
    def current(self) -> Policy:
        """The policy that decides now. This reads no file, and waits for nothing.

        It is the last good policy; or one whose decision says that it cannot be known now, and which look to
        wait for, if any (`Decision.unknown`, `Decision.pending`).
        """
        held = self._looks.held
        if self._monotonic() < held.settled_until and self._clock() < held.settled_until_wall:
            return held.policy
        return self._current_after_pause()

    def _current_after_pause(self) -> Policy:
        """Start a look if it is time for one: a timer would not run between requests on all platforms."""
        looks, now, wall = self._looks, self._monotonic(), self._clock()
        look = looks.start_if_due(now, wall)
        state = looks.state(now, wall)
        if self._reporter.queue_state(lambda: looks.state(now, wall)):
            self._reporter.deliver_aside()
        held = looks.held
        if state is KeyState.FRESH or state is KeyState.STALE:
            return held.policy
        # After a time without requests, or too long a failure: the file may hold something else by now.
        if look is not None and now - look.started_at < LONGEST_WAIT:
            return UndecidedPolicy(public=True, why=f"{self._shown} is being looked at", pending=look)
        if state is KeyState.AGEING:
            return held.policy
        why = self._why_dead(held, now, wall)
        return UndecidedPolicy(public=held.policy.public, why=why, pending=None)

    def _why_dead(self, held: HeldPolicy, now: float, wall: float) -> str:
        error = self._looks.last_error
        why = "the look at it does not end" if error is None else error.message
        return f"{self._shown} could not be used for {held.age(now, wall):.0f} s: {why}"

    @property
    def _shown(self) -> str:
        return f"the policy file {os.fspath(self.path)!r}"

    @property
    def state(self) -> KeyState:
        """What the policy can do now.

        ``fresh``: it is followed. ``ageing``: no request came for a while, and the next one waits for a look.
        ``stale``: the file cannot be used, and the last good policy decides. ``dead``: that has lasted for
        `max_stale`, and nothing is granted. It is never ``empty``.
        """
        return self._looks.state(self._monotonic(), self._clock())

    @property
    def age(self) -> float:
        """Seconds since the file was last seen to hold the policy that decides."""
        return self._looks.held.age(self._monotonic(), self._clock())

    @property
    def last_error(self) -> str | None:
        """Why the last look failed; None if it did not."""
        error = self._looks.last_error
        return None if error is None else error.message

    @property
    def ready(self) -> bool:
        """Whether requests can be decided now; for a readiness probe.

        Reading it has the file looked at when it is time for that, so that a worker that is probed follows
        the file without requests.
        """
        now, wall = self._monotonic(), self._clock()
        self._looks.start_if_due(now, wall)
        return self._looks.state(now, wall).usable

    def health(self) -> PolicyHealth:
        """Return all of its state as plain data, for a health page; has the file looked at as `ready` does.

        Returns:
            The members of `PolicyHealth`, which can be written as JSON.
        """
        looks, now, wall = self._looks, self._monotonic(), self._clock()
        looks.start_if_due(now, wall)
        state, held = looks.state(now, wall), looks.held
        return {
            "path": os.fspath(self.path),
            "state": str(state),
            "ready": state.usable,
            "age": held.age(now, wall),
            "usable_for": looks.usable_for(now, wall),
            "generation": held.generation,
            "refreshing": looks.under_way() is not None,
            "retry_in": looks.retry_in(now, wall),
            "failures": looks.failures,
            "last_error": self.last_error,
            "looks": dict(looks.outcomes),
        }

    def __repr__(self) -> str:
        """Show the file, the size of the policy and the state."""
        return f"WatchedPolicy({os.fspath(self.path)!r}, {self._looks.held.policy!r}, state={self.state})"
