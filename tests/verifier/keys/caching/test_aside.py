"""Work on files that is not waited for without a bound."""

from __future__ import annotations

import threading

import pytest

from doorward.keys.caching.aside import Aside
from support.simulator import PATIENCE


def test_the_result_comes_back_and_work_is_done_again_and_again() -> None:
    aside = Aside()

    assert [0, 1, 2] == [aside.run(iter([one]).__next__, PATIENCE) for one in range(3)]
    assert not aside.hangs


@pytest.mark.parametrize(
    "error", [KeyError("a"), OSError("b"), TimeoutError("c"), KeyboardInterrupt()], ids=repr
)
def test_what_the_work_raises_is_raised_where_it_is_waited_for(error: BaseException) -> None:
    aside = Aside()

    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        aside.run(work, PATIENCE)
    assert caught.value is error
    assert 1 == aside.run(lambda: 1, PATIENCE)


def test_work_that_hangs_is_given_up_and_no_other_is_begun_until_it_ends() -> None:
    aside, let_go, done = Aside(), threading.Event(), threading.Event()

    def hang() -> None:
        assert let_go.wait(PATIENCE)

    with pytest.raises(OSError, match="its file system hangs"):
        aside.run(hang, 0.01)
    assert aside.hangs
    for _ in range(3):
        with pytest.raises(OSError, match="an earlier look at it has not ended"):
            aside.run(done.set, PATIENCE)
    assert not done.is_set()
    (hanging,) = [one for one in threading.enumerate() if one.name == "doorward-keys-file"]
    let_go.set()
    hanging.join(PATIENCE)
    assert not aside.hangs
    assert 1 == aside.run(lambda: 1, PATIENCE)


def test_without_a_thread_there_is_an_error_and_a_later_time(monkeypatch: pytest.MonkeyPatch) -> None:
    aside = Aside()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no thread could be started"):
            aside.run(lambda: 1, PATIENCE)
    assert 1 == aside.run(lambda: 1, PATIENCE)


def test_a_child_waits_for_no_work_of_its_parent() -> None:
    aside, let_go = Aside(), threading.Event()
    with pytest.raises(OSError, match="hangs"):
        aside.run(lambda: let_go.wait(PATIENCE), 0.01)
    aside.after_fork()
    found = aside.run(lambda: 1, PATIENCE)
    let_go.set()

    assert (1, False) == (found, aside.hangs)
