"""What the servers use while they are judged: memory, threads and descriptors, read from ``/proc``."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Use", "Watch", "descriptors", "family"]


@dataclass(frozen=True)
class Use:
    """What the processes of one server use together.

    Attributes:
        memory: Resident bytes.
        threads: Threads.
        descriptors: Open descriptors.
    """

    memory: int
    threads: int
    descriptors: int


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [pid, *map(int, children.read_text().split())]
    except OSError:
        return [pid]


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open; 0 if it is gone."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _use(pids: list[int]) -> Use:
    memory = threads = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        memory += int(found.get("VmRSS", "0 kB").split()[0]) * 1024
        threads += int(found.get("Threads", "0"))
    return Use(memory, threads, sum(map(descriptors, pids)))


@dataclass
class Watch:
    """Samples the use of some servers, by their first process."""

    pids: dict[str, int]
    samples: dict[str, list[Use]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self, every: float = 0.5) -> None:
        """Sample until `end` is called."""
        while not self._ended.wait(every):
            for name, pid in self.pids.items():
                self.samples.setdefault(name, []).append(_use(family(pid)))

    def end(self) -> None:
        """Sample no more."""
        self._ended.set()

    def report(self, name: str) -> str:
        """Describe what a server used: at first, at most, at the end."""
        found = self.samples.get(name, [])
        if not found:
            return "nothing was sampled"
        first, last = found[min(4, len(found) - 1)], found[-1]
        return (
            f"memory {first.memory >> 20} -> {last.memory >> 20} MiB"
            f" (at most {max(use.memory for use in found) >> 20}),"
            f" threads {first.threads} -> {last.threads} (at most {max(use.threads for use in found)}),"
            f" descriptors {first.descriptors} -> {last.descriptors}"
            f" (at most {max(use.descriptors for use in found)})"
        )
