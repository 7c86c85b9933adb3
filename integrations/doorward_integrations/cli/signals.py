"""How a signal ends a command: in order, so that servers are closed and what was changed is set back.

By default SIGTERM and SIGHUP end a process between two instructions, and no ``with`` statement is left. Here
each of them is an exception in the main thread, as SIGINT is by default.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Final

__all__ = ["EndedBySignal", "ending_in_order"]

# Windows has no SIGHUP.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
_BASE: Final = 128


class EndedBySignal(BaseException):
    """A signal that asks the process to end; no `Exception`, so that no handler of errors takes it for one.

    Attributes:
        status: The exit status by which shells know it: 128 and the number of the signal.
    """

    def __init__(self, number: int) -> None:
        """Make the exception of a signal.

        Args:
            number: The number of the signal.
        """
        super().__init__(signal.Signals(number).name)
        self.status: Final = _BASE + number


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """Raise `EndedBySignal` for the first SIGTERM, SIGINT or SIGHUP that comes within the block.

    A second SIGTERM or SIGINT ends the process at once, in case something does not end in order. A SIGHUP
    that follows changes nothing until the process has ended: service managers and closing terminals send one
    besides. A signal that the process was started with as ignored stays so, as by ``nohup``. Outside of the
    main thread, where no handler can be set, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # None is a handler of another program, such as one that embeds Python: it stays.
    ours = [one for one in _SIGNALS if signal.getsignal(one) not in (signal.SIG_IGN, None)]

    def end(number: int, _frame: FrameType | None) -> None:
        for one in ours:
            hung_up = one is getattr(signal, "SIGHUP", None)
            signal.signal(one, signal.SIG_IGN if hung_up else signal.SIG_DFL)
        raise EndedBySignal(number)

    before = {one: signal.signal(one, end) for one in ours}
    try:
        yield
    except EndedBySignal:
        raise  # the handlers stay: the process ends
    except BaseException:
        _restore(before)
        raise
    _restore(before)


def _restore(before: Mapping[signal.Signals, Any]) -> None:
    for one, handler in before.items():
        signal.signal(one, handler)
