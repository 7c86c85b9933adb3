"""A clock that moves only by hand."""

from __future__ import annotations


class ManualClock:
    """Stands still until it is moved; starts at a time in 2026."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds
