"""Work on many items in several processes, which end with this one, and whose deaths cost one item each.

`concurrent.futures` gives up all items when one process is killed, and its processes outlive a parent that is. This module imports
nothing large, so that a new process can tell early whether its parent is still there.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from madsep.core.errors import DiskFull, plain
from madsep.core.logs import log

PR_SET_PDEATHSIG = 1  # of Linux's prctl
SPAWN = multiprocessing.get_context("spawn")  # a GPU cannot be used by a process that was forked
Item = TypeVar("Item")


class WorkerDefect(Exception):
    """A worker failed unexpectedly; the message is its traceback."""


def in_workers(work: Callable[[Item], object], items: Sequence[Item], n_workers: int) -> Generator[tuple[Item, str], None, None]:
    """Call `work` on each item in one of `n_workers` processes; yield each with its fault, empty if there is none, as it is finished.

    A fault is what `madsep.core.errors.plain` says of an exception, or how the item's process died; other items are then worked on in a
    new one. What the processes log is logged here. All end when the iteration does, even if this process is killed.
    Raises DiskFull at once, which the other items would meet too, and WorkerDefect.
    """
    todo = list(reversed(items))
    workers = [_Worker(work) for _ in range(min(n_workers, len(items)))]
    try:
        for worker in workers:
            worker.begin(todo.pop())
        while busy := [worker for worker in workers if worker.is_busy]:
            for connection in wait([worker.connection for worker in busy]):
                worker = next(worker for worker in busy if worker.connection is connection)
                item, fault = worker.item, worker.receive()
                if fault is None:
                    continue  # it was a line of its log
                if todo:
                    worker.begin(todo.pop())
                yield item, fault
    finally:
        for worker in workers:
            worker.end()


class _Worker(Generic[Item]):
    """One process, started when it is first needed and again after its death."""

    def __init__(self, work: Callable[[Item], object]) -> None:
        self.work = work
        self.process: SpawnProcess | None = None
        self.connection: Connection
        self.item: Item
        self.is_busy = False

    def begin(self, item: Item) -> None:
        """Let the process work on an item."""
        if self.process is None:
            with _without_ctrl_c():
                connection, theirs = SPAWN.Pipe()
                process = SPAWN.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
                process.start()
                self.connection, self.process = connection, process
            theirs.close()
        self.item, self.is_busy = item, True
        with contextlib.suppress(OSError):  # it has died, which `receive` will find out
            self.connection.send_bytes(pickle.dumps((self.work, item)))

    def receive(self) -> str | None:
        """Take what the process has sent: the item's fault, empty if there is none; None for a line of its log."""
        try:
            kind, *content = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return self._death()
        if kind == "log":
            log.log(*content)
            return None
        self.is_busy = False
        if kind == "disk full":
            raise DiskFull(content[0])
        if kind == "defect":
            raise WorkerDefect(content[0])
        return str(content[0])

    def end(self) -> None:
        """End the process, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None

    def _death(self) -> str:
        assert self.process is not None
        self.process.join()
        status = self.process.exitcode or 0
        self.end()
        self.is_busy = False
        if status == -signal.SIGKILL:
            return "its process was killed, probably out of memory; use fewer --jobs and run the same command again."
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return f"its process ended {how} before the work was done; run the same command again."


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Let processes that are started in the block pass over Ctrl-C, even while they import; here it takes effect after the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, parent: int) -> None:
    """Work on what the parent sends until it sends no more."""
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.addHandler(_Sender(connection))
    log.setLevel(logging.INFO)
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(pickle.dumps(_outcome(message)))


def _outcome(message: bytes) -> tuple[str, Any]:
    try:
        work, item = pickle.loads(message)  # which imports the work's module
        work(item)
    except Exception as error:
        line = plain(error)
        if line is None:
            return "defect", traceback.format_exc()
        return ("disk full", line.path) if isinstance(line, DiskFull) else ("done", str(line))
    return "done", ""


def _end_with(parent: int) -> None:
    """Let this process be killed when its parent is gone: by Linux, or on other systems by a thread that waits for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Sender(logging.Handler):
    """Sends what is logged to the parent."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self.connection.send_bytes(pickle.dumps(("log", record.levelno, "%s", record.getMessage())))
