"""Requests to stop early: signals and a time limit."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # from a scheduler whose time limit is reached, and from Ctrl-C


class Stop:
    """A request to stop a run: SIGTERM or SIGINT while `listening`, or its time limit in minutes."""

    def __init__(self, max_minutes: float | None) -> None:
        self.deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self.signal: str | None = None

    @property
    def reason(self) -> str | None:
        """The signal's name or `max_minutes`, or None while the run may continue."""
        if self.signal is None and self.deadline is not None and time.monotonic() >= self.deadline:
            return "max_minutes"
        return self.signal

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the first signal as a request to stop. A second signal has its usual effect. Only the main thread receives signals."""
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
