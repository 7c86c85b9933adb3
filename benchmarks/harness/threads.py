"""Work that many threads start at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["together"]


def together(count: int, work: Callable[[int], object]) -> float:
    """Run a function in several threads that start at the same moment.

    Args:
        count: The number of threads.
        work: The function; each thread calls it with its number.

    Returns:
        The seconds from that moment until the last thread has ended.
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
