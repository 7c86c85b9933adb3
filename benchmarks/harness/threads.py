"""Work that many threads do at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["together"]


def together(count: int, work: Callable[[int], object]) -> float:
    """Do it in so many threads that begin at the same moment.

    Args:
        count: How many threads.
        work: Is called in each, with its number.

    Returns:
        The seconds from that moment until the last has ended.
    """
    barrier = threading.Barrier(count + 1)

    def body(number: int) -> None:
        barrier.wait()
        work(number)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began
