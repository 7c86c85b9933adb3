from __future__ import annotations

import gc
import os
import re
import weakref
from pathlib import Path

import doorward
import doorward_integrations
from doorward.forks import renew_in_children
from support.forks import forked, forking


class Owner:
    def __init__(self) -> None:
        self.renewed = 0
        renew_in_children(self, Owner.renew)

    def renew(self) -> None:
        self.renewed += 1


@forking
def test_an_object_is_renewed_in_every_child_and_not_in_the_parent() -> None:
    owner = Owner()

    assert [1, 1] == [forked(lambda: owner.renewed) for _ in range(2)]
    assert 0 == owner.renewed


@forking
def test_a_child_of_a_child_renews_again() -> None:
    owner = Owner()

    assert 2 == forked(lambda: forked(lambda: owner.renewed))


@forking
def test_an_object_that_was_made_in_a_child_is_renewed_in_the_next() -> None:
    def child() -> object:
        owner = Owner()
        return [owner.renewed, forked(lambda: owner.renewed)]

    assert [0, 1] == forked(child)


@forking
def test_an_object_that_no_longer_lives_is_not_renewed_nor_kept() -> None:
    owner = Owner()
    gone = weakref.ref(owner)
    del owner
    gc.collect()

    assert gone() is None
    assert os.getpid() == forked(os.getppid)


SOURCES = [
    path
    for package in (doorward, doorward_integrations)
    for path in Path(str(package.__file__)).parent.rglob("*.py")
]
LOCKS = re.compile(
    r"\b(Lock|RLock|Condition|Semaphore|BoundedSemaphore|Event|Barrier|Future|Queue)(\[\w+\])?\(\)"
)
FREE = {
    "body.py": "an event of the loop, which belongs to one request",
    "gateway.py": "a command that forks nothing",
    "milestone.py": "its owner drops it in a child, and who waits for it waits for some seconds at most",
    "relay.py": "a command that forks nothing",
    "start.py": "a command that forks nothing",
}
RENEWS = re.compile(r"\brenew_in_children\(|\bregister_at_fork\(")


def test_every_module_that_makes_a_lock_renews_it_in_a_child() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SOURCES}
    locking = {path.name for path, text in texts.items() if LOCKS.search(text)}
    renewing = {path.name for path, text in texts.items() if RENEWS.search(text)}

    assert set(FREE) == locking - renewing
