"""Interleaved rounds, and the ratios within them.

Contenders take turns, in another order each round, and a ratio is computed within one round: what slows the
machine down for a while then slows all of them. The result is the median of the rounds, with the quartiles as
its spread.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Spread", "per_call", "ratio", "rounds", "spread"]

Sample = Callable[[], float]
"""Does its work once and returns the cost: as a rule, seconds per call."""


class Spread(NamedTuple):
    """The median of some samples, and their quartiles."""

    median: float
    low: float
    high: float


def rounds(samples: Mapping[str, Sample], runs: int, *, warm: int = 1) -> dict[str, list[float]]:
    """Measure all contenders in turn, round by round.

    Args:
        samples: By name, a function that measures one contender once.
        runs: The number of rounds that count.
        warm: The number of rounds before them, which do not count.

    Returns:
        The result of each round, by name; the rounds are in the same order for all names.
    """
    taken: dict[str, list[float]] = {name: [] for name in samples}
    order = list(samples)
    shuffle = random.Random(0).shuffle
    for turn in range(warm + runs):
        shuffle(order)
        for name in order:
            gc.collect()
            found = samples[name]()
            if turn >= warm:
                taken[name].append(found)
    return taken


def per_call(work: Callable[[], object], calls: int) -> Sample:
    """Return a sample of a quick function: the seconds per call of that many calls in a row."""

    def sample() -> float:
        repeat = [None] * calls
        began = time.perf_counter()
        for _ in repeat:
            work()
        return (time.perf_counter() - began) / calls

    return sample


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratio(values: Sequence[float], unit: Sequence[float]) -> Spread:
    """Return the spread of the quotients, round by round."""
    return spread([value / one for value, one in zip(values, unit, strict=True)])
