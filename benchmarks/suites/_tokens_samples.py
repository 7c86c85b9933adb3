"""How ``tokens`` measures: the timed loops, and the number of calls that a sample needs."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.rounds import Sample
from peers.contender import Contender, Given, Verify, accepted
from peers.nodejs import Node

__all__ = ["Ready", "enough", "logged_to", "node_sample", "repeated", "unit"]

LASTING = 0.012
"""Seconds that a sample should take."""
LEAST = 10
"""Calls that a sample makes at least, however long they take."""


def enough(cost: float, most: int = 50_000) -> int:
    """Return the number of calls in a sample, for calls of a given cost in seconds."""
    return max(LEAST, min(most, int(LASTING / max(cost, 1e-9))))


@dataclass(frozen=True)
class Ready:
    """A contender that is prepared for one key, and was checked to refuse bad tokens.

    Attributes:
        contender: The contender.
        fresh: Makes its verifier.
        runner: The event loop in which it is awaited, if it must be.
    """

    contender: Contender
    fresh: Callable[[], Verify]
    runner: asyncio.Runner

    @classmethod
    def of(cls, contender: Contender, given: Given, runner: asyncio.Runner) -> Ready:
        """Prepare and check a contender."""
        found = accepted(contender, given, runner.run)
        assert found == ["good"], f"{contender.name} accepts: {', '.join(found)}"
        return cls(contender, contender.prepare(given), runner)

    def never(self, tokens: Sequence[str]) -> Sample:
        """Measure tokens that were never seen; each sample starts with a verifier that has seen none."""
        calls = enough(self._cost(tokens, refuse=False), len(tokens))
        return lambda: self._run(self.fresh(), tokens[:calls], refuse=False)

    def again(self, token: str) -> Sample:
        """Measure one token again and again."""
        verify = self.fresh()
        self._run(verify, [token] * 20, refuse=False)
        calls = enough(self._run(verify, [token] * 20, refuse=False))
        return lambda: self._run(verify, [token] * calls, refuse=False)

    def refused(self, tokens: Sequence[str]) -> Sample:
        """Measure the refusal of tokens; no contender caches its refusals."""
        verify = self.fresh()
        calls = enough(self._cost(tokens, refuse=True))
        batch = list(itertools.islice(itertools.cycle(tokens), calls))
        return lambda: self._run(verify, batch, refuse=True)

    def _cost(self, tokens: Sequence[str], *, refuse: bool) -> float:
        """Return the seconds per call, after a first run to warm up."""
        batch = tokens[:LEAST]
        self._run(self.fresh(), batch, refuse=refuse)
        return self._run(self.fresh(), batch, refuse=refuse)

    def _run(self, verify: Verify, batch: Sequence[str], *, refuse: bool) -> float:
        awaited: Any = verify
        if refuse:
            took, refused = (
                self.runner.run(_arefuse(awaited, batch))
                if self.contender.awaited
                else _refuse(verify, batch)
            )
            assert refused == len(batch), f"{self.contender.name} refused {refused} of {len(batch)}"
        elif self.contender.awaited:
            took = self.runner.run(_averify(awaited, batch))
        else:
            took = _verify(verify, batch)
        return took / len(batch)


def _verify(verify: Verify, batch: Sequence[str]) -> float:
    began = time.perf_counter()
    for token in batch:
        verify(token)
    return time.perf_counter() - began


async def _averify(verify: Callable[[str], Awaitable[object]], batch: Sequence[str]) -> float:
    began = time.perf_counter()
    for token in batch:
        await verify(token)
    return time.perf_counter() - began


def _refuse(verify: Verify, batch: Sequence[str]) -> tuple[float, int]:
    refused = 0
    began = time.perf_counter()
    for token in batch:
        try:
            verify(token)
        except Exception:  # noqa: BLE001 - any error of a contender is its refusal
            refused += 1
    return time.perf_counter() - began, refused


async def _arefuse(verify: Callable[[str], Awaitable[object]], batch: Sequence[str]) -> tuple[float, int]:
    refused = 0
    began = time.perf_counter()
    for token in batch:
        try:
            await verify(token)
        except Exception:  # noqa: BLE001 - any error of a contender is its refusal
            refused += 1
    return time.perf_counter() - began, refused


def unit(repeat: Callable[[int], float]) -> Sample:
    """Measure the unit, for twice as long as the others: all ratios of a round depend on it."""
    calls = 2 * enough(repeat(LEAST))
    return lambda: repeat(calls)


def node_sample(node: Node, contender: str, case: str, most: int, *, again: bool) -> Sample:
    """Measure one of Node's contenders."""
    node.seconds(contender, case, LEAST, again=again)  # the first call warms up
    calls = enough(node.seconds(contender, case, LEAST, again=again), 50_000 if again else most)
    return lambda: node.seconds(contender, case, calls, again=again)


def repeated(fresh: Callable[[], Callable[[Any], object]], batch: Callable[[], Sequence[Any]]) -> Sample:
    """Measure any other function, called with one argument after the other.

    Args:
        fresh: Makes the function, anew for each sample.
        batch: Makes its arguments.
    """

    def sample() -> float:
        call, arguments = fresh(), batch()
        began = time.perf_counter()
        for argument in arguments:
            call(argument)
        return (time.perf_counter() - began) / len(arguments)

    return sample


@contextmanager
def logged_to(handler: logging.Handler) -> Iterator[None]:
    """Set this handler, and no other, on the root logger."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [handler]
    try:
        yield
    finally:
        root.handlers[:] = before
