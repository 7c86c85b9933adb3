"""Whether a test is running here: the kit works in tests and nowhere else.

No variable of the environment is read. A test is running if the pytest plugin says that one has begun in this
process, or if a test runner (unittest, pytest) is on the stack of the caller. Code that a server or a child
of ``multiprocessing`` runs is no test, also in a process in which one is running.

What cannot be seen: a handler that a server calls in a thread of a pool has no server on its stack. In a
process without a test it is refused all the same; in the process of a test it is not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

__all__ = ["begin", "end", "on_begin", "require"]

_RUNNERS: Final = frozenset(
    {
        ("unittest.case", "run"),
        ("unittest.suite", "run"),
        ("_pytest.runner", "runtestprotocol"),
    }
)
"""Module and name of the functions that run a test, its set-up and its tear-down."""

_SERVERS: Final = frozenset(
    {
        "daphne",
        "granian",
        "gunicorn",
        "hypercorn",
        "socketserver",
        "uvicorn",
        "waitress",
        "wsgiref",
    }
)
"""Packages whose code calls an application for requests from a network."""


class _Here:
    """The test of this process.

    Attributes:
        pid: The process in which a test has begun and has not ended; 0 if there is none.
        begun: What is called when the next test begins.
    """

    pid = 0
    begun: Final = list[Callable[[], None]]()


def begin() -> None:
    """Say that a test begins in this process; the pytest plugin does."""
    _Here.pid = os.getpid()
    for each in _Here.begun:
        each()


def end() -> None:
    """Say that the test has ended."""
    _Here.pid = 0


def on_begin(call: Callable[[], None]) -> None:
    """Have a function called whenever a test begins.

    Args:
        call: The function.
    """
    _Here.begun.append(call)


def require(what: str) -> None:
    """Refuse to do what only a test may do.

    Args:
        what: The name of what was called.

    Raises:
        ConfigurationError: If no test is running here.
    """
    around = _around(sys._getframe(1))  # noqa: SLF001 - the stack has no other reader as quick
    if around == "test" or (not around and _Here.pid == os.getpid()):
        return
    from doorward.errors import ConfigurationError  # noqa: PLC0415 - the pytest plugin imports this in every project

    where = f"this code is called by {around}, which serves" if around else "no test is running here"
    raise ConfigurationError(
        f"{what} is for tests, and {where}: call it in a test of pytest or unittest, in its fixtures or in "
        "its set-up. It cannot make a service that serves admit a caller"
    )


def _around(frame: FrameType | None) -> str:
    """Return what calls: ``test``, the name of a server, or nothing if neither is on the stack."""
    while frame is not None:
        module, name = str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        if (module, name) in _RUNNERS:
            return "test"
        package = module.partition(".")[0]
        if package in _SERVERS:
            return package
        if (module, name) == ("multiprocessing.process", "_bootstrap"):
            return "a process of multiprocessing"
        frame = frame.f_back
    return ""
