"""A milestone wakes every waiter, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from doorward.keys.milestone import Milestone
from support.simulator import PATIENCE, background

Loop = Callable[[Callable[[], Awaitable[bool]]], bool]


def in_asyncio(call: Callable[[], Awaitable[bool]]) -> bool:
    async def main() -> bool:
        return await call()

    return asyncio.run(main())


each_loop = pytest.mark.parametrize("loop", [in_asyncio, trio.run])


def test_it_has_not_happened_at_first_and_then_for_good() -> None:
    milestone = Milestone()
    assert (False, False) == (milestone.reached, milestone.wait(0.0))
    milestone.reach()
    milestone.reach()
    assert (True, True) == (milestone.reached, milestone.wait(0.0))


def test_it_wakes_threads() -> None:
    milestone = Milestone()
    waiting = [background(milestone.wait, PATIENCE) for _ in range(3)]
    milestone.reach()
    assert [True] * 3 == [one.result(PATIENCE) for one in waiting]


@each_loop
def test_it_wakes_tasks(loop: Any) -> None:
    milestone = Milestone()
    waiting = background(loop, lambda: milestone.wait_async(PATIENCE))
    milestone.reach()
    assert waiting.result(PATIENCE)


@each_loop
def test_a_task_gives_up_when_its_time_is_over(loop: Any) -> None:
    milestone = Milestone()
    assert not loop(lambda: milestone.wait_async(0.001))
    milestone.reach()
    assert loop(lambda: milestone.wait_async(0.0))


@each_loop
def test_what_does_not_wait_leaves_nothing_behind(loop: Any) -> None:
    """A flight that hangs may be asked about for hours."""
    milestone = Milestone()
    for timeout in (0.0, -1.0):
        assert not loop(lambda timeout=timeout: milestone.wait_async(timeout))
    assert [] == milestone._reached._done_callbacks  # type: ignore[attr-defined]  # of concurrent.futures


def test_what_is_to_follow_is_called_once_whether_it_has_happened_or_not() -> None:
    milestone = Milestone()
    called: list[str] = []
    milestone.then(lambda: called.append("before"))
    assert [] == called
    milestone.reach()
    milestone.then(lambda: called.append("after"))
    milestone.reach()

    assert ["before", "after"] == called
