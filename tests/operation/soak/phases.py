"""The faults and changes of one round of the soak, and when their effect must be seen."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from operation.soak.judge import Fact
from operation.soak.stream import OTHER, Stream
from operation.soak.watch import family
from operation.soak.world import MAX_AGE, SPEED, KeyEndpoint, PolicyFile
from support.tokens import CALLER, SigningKey

__all__ = ["Conductor"]

MEMBERS = (f"serviceAccount:{CALLER}",)
BOTH = (*MEMBERS, f"serviceAccount:{OTHER}")
SLACK = 1.5
"""Real seconds for a busy machine, on top of each promise."""
KEY_KNOWN = 1.0 + SLACK
"""A key that was published is known from its first token on: one fetch."""
KEY_GONE = MAX_AGE / SPEED + 1.0 + SLACK
"""A key that was withdrawn is believed until its key set is no longer fresh, and one fetch."""
COLD_KNOWN = 5.0 / SPEED + 1.0 + SLACK
"""After an outage, a server without keys has them after its longest pause and one fetch."""
POLICY_KNOWN = 0.25 + SLACK
"""A policy is known after one look at its file."""
POLICY_MENDED = 3.0 + SLACK
"""After looks that failed, the next one comes after a pause that has grown with them."""


def readiness(base: str) -> int:
    """Return the status with which a server answers a readiness probe."""
    status: int = httpx.get(f"{base}/readyz", trust_env=False, timeout=10).status_code
    return status


@dataclass
class Conductor:
    """Makes things go wrong, one after the other, while the stream runs.

    Attributes:
        stream: The judged requests.
        endpoint: The key endpoint.
        policy: The policy file.
        pids: The first process of each server.
        survived: The faults that are over, by whether all answers in them were right.
        start_cold: Starts one more server, without a snapshot; gives its base URL.
    """

    stream: Stream
    endpoint: KeyEndpoint
    policy: PolicyFile
    pids: dict[str, int]
    survived: dict[str, bool]
    start_cold: Callable[[], AbstractContextManager[str]]
    keys_made: int = 1

    def round(self) -> None:
        """Go through every phase once; about a minute."""
        self._phase("calm", 3.0)
        self._rotate()
        for fault in ("500", "private"):
            with self._fault(f"keys: {fault}", fault):
                time.sleep(2.5)
        self._phase("recovery", 3.0)
        self._withdraw()
        with self._fault("keys: hang, and invented key ids", "hang"):
            self.stream.flood(on=True)
            time.sleep(4.0)
            self.stream.flood(on=False)
            time.sleep(0.5)
        with self._fault("keys: garbage", "garbage"):
            time.sleep(2.5)
        with self._fault("worker killed while keys are away", "500", fragile=True):
            self._kill_a_worker()
            time.sleep(4.0)
        self._start_cold()
        with self._fault("keys: 429", "429"):
            time.sleep(2.5)
        self._change_policy()
        self._phase("calm at the end", 2.0)

    # Keys.

    def _rotate(self) -> None:
        keys, new = self.stream.keys, SigningKey(f"key-{self.keys_made + 1}")
        self.keys_made += 1
        fact = Fact(value=False)
        self.stream.phase = "rotation"
        self.endpoint.keys = (*self.endpoint.keys, new)
        fact.change(time.monotonic(), KEY_KNOWN, value=True)
        keys.newest = (new, fact)
        time.sleep(KEY_KNOWN + 1.0)
        self._close("rotation")

    def _withdraw(self) -> None:
        """Withdraw the key in use; from now on the newest one signs."""
        keys = self.stream.keys
        assert keys.newest is not None
        old, believed = keys.current, Fact(value=True)
        keys.current, keys.newest = keys.newest[0], None
        self.stream.phase = "withdrawal"
        self.endpoint.keys = (keys.current,)
        believed.change(time.monotonic(), KEY_GONE, value=False)
        keys.withdrawn = (old, believed)
        time.sleep(KEY_GONE + 1.0)
        self._close("withdrawal")

    @contextmanager
    def _fault(self, name: str, fault: str, *, fragile: bool = False) -> Iterator[None]:
        self.stream.phase, self.stream.fragile = name, fragile
        self.endpoint.fault = fault
        try:
            yield
        finally:
            self.endpoint.fault = None
            self._close(name)
            self.stream.fragile = False

    def _kill_a_worker(self) -> None:
        (_, *workers) = family(self.pids["gunicorn"])
        os.kill(workers[0], signal.SIGKILL)

    def _start_cold(self) -> None:
        """Start a server that has no keys, while there are none to be fetched."""
        name, has_keys = "cold start while keys are away", Fact(value=False)
        self.stream.phase, self.endpoint.fault = name, "500"
        with self.start_cold() as base:
            self._ask_for("cold", base, has_keys, 1.5)
            not_ready = readiness(base)
            self.endpoint.fault = None
            has_keys.change(time.monotonic(), COLD_KNOWN, value=True)
            self._ask_for("cold", base, has_keys, COLD_KNOWN + 1.0)
            self._close(name)
            seen = (not_ready, readiness(base))
            name = "readiness of the cold server"
            self.survived[name] = self.survived.get(name, True) and seen == (503, 200)

    def _ask_for(self, name: str, base: str, fact: Fact, seconds: float) -> None:
        end = time.monotonic() + seconds
        connection = None
        while time.monotonic() < end:
            connection = self.stream.exchange(name, base, self.stream.known(fact), connection)
            time.sleep(0.02)

    # The policy.

    def _change_policy(self) -> None:
        other = self.stream.other
        self._policy_phase("policy: granted", lambda: self.policy.write(*BOTH), POLICY_KNOWN, value=True)
        with self._broken("policy: half written", self.policy.break_off):
            pass
        self._policy_phase(
            "policy: mended, revoked", lambda: self.policy.write(*MEMBERS), POLICY_MENDED, value=False
        )
        self._policy_phase(
            "policy: granted again", lambda: self.policy.write(*BOTH), POLICY_KNOWN, value=True
        )
        with self._broken("policy: missing", self.policy.remove):
            pass
        self._policy_phase(
            "policy: back, revoked", lambda: self.policy.write(*MEMBERS), POLICY_MENDED, value=False
        )
        self._policy_phase(
            "policy: granted a third time", lambda: self.policy.write(*BOTH), POLICY_KNOWN, value=True
        )
        name = "descriptors used up, revoked meanwhile"
        self.stream.phase, self.stream.fragile = name, True
        other.change(time.monotonic(), value=None)
        with self._no_descriptors():
            self.policy.write(*MEMBERS)
            time.sleep(2.0)
        other.change(time.monotonic(), POLICY_MENDED, value=False)
        time.sleep(1.0)
        self.stream.fragile = False
        time.sleep(POLICY_MENDED)
        self._close(name)

    def _policy_phase(self, name: str, change: Callable[[], None], within: float, *, value: bool) -> None:
        self.stream.phase = name
        change()
        self.stream.other.change(time.monotonic(), within, value=value)
        time.sleep(within + 0.5)
        self._close(name)

    @contextmanager
    def _broken(self, name: str, damage: Callable[[], None]) -> Iterator[None]:
        """Leave the file unusable for a while: the last good policy decides."""
        self.stream.phase = name
        damage()
        time.sleep(2.0)
        yield
        self._close(name)

    @contextmanager
    def _no_descriptors(self) -> Iterator[None]:
        """Let no server open anything: its limit is the lowest descriptor that is free."""
        before: dict[int, tuple[int, int]] = {}
        for pid in (one for first in self.pids.values() for one in family(first)):
            used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            lowest = next(number for number in range(len(used) + 1) if number not in used)
            before[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, before[pid][1]))
        try:
            yield
        finally:
            for pid, limits in before.items():
                if Path(f"/proc/{pid}").exists():
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    def _phase(self, name: str, seconds: float) -> None:
        self.stream.phase = name
        time.sleep(seconds)

    def _close(self, name: str) -> None:
        """Note whether all answers of a phase were right."""
        time.sleep(0.1)
        counts = self.stream.tally.verdicts[name]
        self.survived[name] = not (counts["wrong"] or counts["refused"])
