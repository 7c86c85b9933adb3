"""Workers that are forked from one process and ask a key cache at the same moment; run as a script.

The arguments are the URL of the keys, the path of the snapshot (empty for none), and the number of workers.
What each worker's request came to is printed as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter

from doorward import KeyCache, KeysUnavailableError

__all__: list[str] = []


def _work(url: str, snapshot: str, go: int) -> str:
    """Make a cache, ask once the pipe is closed, and go as a worker goes that has served one request."""
    cache = KeyCache(url, snapshot=snapshot or None, listener=lambda event: None)
    os.read(go, 1)
    try:
        return cache.get("known-key").kid
    except KeysUnavailableError as error:
        return str(error)


def _fork(url: str, snapshot: str, pipe: tuple[int, int]) -> int:
    """Start a worker; return where its answer is read."""
    answer, writing = os.pipe()
    if os.fork() == 0:
        os.close(pipe[1])
        os.write(writing, _work(url, snapshot, pipe[0]).encode())
        sys.exit()
    os.close(writing)
    return answer


def main(url: str, snapshot: str, count: str) -> None:
    """Run the workers, and print how often each answer came."""
    pipe = os.pipe()
    answers = [_fork(url, snapshot, pipe) for _ in range(int(count))]
    os.close(pipe[1])
    found: Counter[str] = Counter()
    for answer in answers:
        found[os.read(answer, 1_000).decode()] += 1
    print(json.dumps(found))  # noqa: T201 - how a process answers


if __name__ == "__main__":
    main(*sys.argv[1:])
