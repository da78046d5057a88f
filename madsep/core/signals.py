"""Signals that end a command: Ctrl-C, and those that a closing terminal or a scheduler sends."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from madsep.core.temporary import remove_own

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked the command to end. It does not inherit from Exception, so that no handler mistakes it for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.status = 128 + number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted at the first signal within the block. Ignore later signals, and remove temporary files.

    Signals that the process inherited as ignored, for example from nohup, stay ignored. In forked children, signals keep their default
    effect.
    """
    owner = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        remove_own()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Let signals take effect after the block. Processes that are started in it have Ctrl-C blocked, also during imports.

    Blocking is not enough for this process: another thread receives the signal, and Python then interrupts the main thread all the same.
    """
    arrived: list[int] = []
    handled = SIGNALS if threading.current_thread() is threading.main_thread() else ()  # only it may set handlers
    before = {number: handler for number in handled if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, lambda number, frame: arrived.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
