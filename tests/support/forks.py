"""Real forks: what a child of the process that runs the tests comes to, and locks that its parent holds."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.simulator import PATIENCE, background

__all__ = ["forked", "forking", "held_elsewhere"]

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def forked(work: Callable[[], object]) -> Any:
    """Fork, let the child work, and give what it came to; a child that hangs is ended, and fails."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons warn of what is tested here
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may go up the parent's stack
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    readable, _, _ = select.select([reading], [], [], PATIENCE)
    if not readable:
        os.kill(child, 9)
    answer = os.read(reading, 65_536) if readable else b""
    os.close(reading)
    _, status = os.waitpid(child, 0)
    assert status == 0, "the child hung, or failed"
    return json.loads(answer)


@contextlib.contextmanager
def held_elsewhere(lock: contextlib.AbstractContextManager[object]) -> Iterator[None]:
    """Have another thread hold a lock."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            let_go.wait(PATIENCE)

    holder = background(hold)
    assert held.wait(PATIENCE)
    try:
        yield
    finally:
        let_go.set()
        holder.result(PATIENCE)
