"""Requests to stop early: signals, and a limit of time."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # of a scheduler whose time is up, and of Ctrl-C


class Stop:
    """Whether a run has been asked to stop, by SIGTERM or SIGINT while `listening`, or by having taken its minutes."""

    def __init__(self, max_minutes: float | None) -> None:
        self.deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self.signal: str | None = None

    @property
    def reason(self) -> str | None:
        """The signal's name or `max_minutes`; None as long as the run may continue."""
        if self.signal is None and self.deadline is not None and time.monotonic() >= self.deadline:
            return "max_minutes"
        return self.signal

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the first signal as a request; a second one does what it would have done before. Only the main thread gets signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.signal = signal.Signals(number).name
            restore()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        before = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            for number in SIGNALS:
                signal.signal(number, note)
            yield
        finally:
            restore()
