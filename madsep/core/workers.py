"""A pool of processes that end with their parent. The death of a process costs only the item it worked on.

`concurrent.futures` gives up all items when one process is killed, and its processes outlive a killed parent. This module imports nothing
large, so that a new process can check early that its parent still exists.
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
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from madsep.core.errors import DiskFull, plain
from madsep.core.logs import log
from madsep.core.signals import postponed

PR_SET_PDEATHSIG = 1  # option of Linux's prctl
SPAWN = multiprocessing.get_context("spawn")  # a GPU cannot be used by a process that was forked
Item = TypeVar("Item")


class WorkerDefect(Exception):
    """A worker failed unexpectedly. The message is its traceback."""


def in_workers(work: Callable[[Item], object], items: Sequence[Item], n_workers: int) -> Generator[tuple[Item, str], None, None]:
    """Call `work` on each item in one of `n_workers` processes. Yield each finished item with its fault, or an empty string.

    A fault is the message of `madsep.core.errors.plain` for an exception, or says how the item's process died. A new process then takes the
    other items. Log messages of the processes are logged here. All processes end with the iteration, even if this process is killed.
    Raises DiskFull at once because the other items would fail in the same way. Raises WorkerDefect for an unexpected exception.
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
                    continue  # a log line
                if todo:
                    worker.begin(todo.pop())
                yield item, fault
    finally:
        for worker in workers:
            worker.end()


class _Worker(Generic[Item]):
    """One process, started when it is first needed and restarted after its death."""

    def __init__(self, work: Callable[[Item], object]) -> None:
        self.work = work
        self.process: SpawnProcess | None = None
        self.connection: Connection
        self.item: Item
        self.is_busy = False

    def begin(self, item: Item) -> None:
        """Send an item to the process."""
        if self.process is None:
            with postponed():
                connection, theirs = SPAWN.Pipe()
                process = SPAWN.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
                process.start()
                self.connection, self.process = connection, process
            theirs.close()
        self.item, self.is_busy = item, True
        with contextlib.suppress(OSError):  # it has died; `receive` will notice
            self.connection.send_bytes(pickle.dumps((self.work, item)))

    def receive(self) -> str | None:
        """Receive a message of the process. Return the item's fault, empty if there is none, or None for a log line."""
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
        """Kill the process, whatever it is doing."""
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


def _serve(connection: Connection, parent: int) -> None:
    """Process the parent's items until it closes the connection."""
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
        work, item = pickle.loads(message)  # this imports the module of `work`
        work(item)
    except Exception as error:
        line = plain(error)
        if line is None:
            return "defect", traceback.format_exc()
        return ("disk full", line.path) if isinstance(line, DiskFull) else ("done", str(line))
    return "done", ""


def _end_with(parent: int) -> None:
    """Let this process be killed when its parent ends: by Linux, or on other systems by a thread that waits for the parent."""
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
    """Sends log messages to the parent."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self.connection.send_bytes(pickle.dumps(("log", record.levelno, "%s", record.getMessage())))
