"""A thread that writes files, one at a time, while training continues."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from madsep.core.logs import log

WRITER = "madsep-writer"  # the thread's name


class Writer:
    """A thread that writes. Starting a write waits for the previous one, so that writes are done in order and none is skipped."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, WRITER)
        self.last: Future[bool] | None = None
        self.done_s = 0.0  # of finished writes
        self.began_s: float | None = None  # when the current write began

    @property
    def spent_s(self) -> float:
        """Seconds that all writes have taken so far."""
        began_s = self.began_s
        return self.done_s + (0.0 if began_s is None else time.monotonic() - began_s)

    def start(self, write: Callable[[], bool]) -> None:
        """Begin a write. Raises what the previous write raised."""
        self.wait()
        self.last = self.pool.submit(self._timed, write)

    def wait(self) -> bool:
        """Wait for the last write and return its result, or True if there was none. Raises what the write raised."""
        last, self.last = self.last, None
        if last is None:
            return True
        return last.result()

    def close(self) -> None:
        """Wait until the thread has ended. Log an error of the last write that `wait` has not raised."""
        self.pool.shutdown()
        if self.last is not None and (error := self.last.exception()) is not None:
            log.warning("%s", error)

    def _timed(self, write: Callable[[], bool]) -> bool:
        self.began_s = began_s = time.monotonic()
        try:
            return write()
        finally:
            self.done_s, self.began_s = self.done_s + time.monotonic() - began_s, None
