"""Ctrl-C in a run: its jobs end quietly, training saves its state, and Snakemake says nothing; then one line says how to resume.

In a terminal Ctrl-C reaches Snakemake and all its jobs at once, and each would print a traceback. Here it is blocked in all of them, and a
thread waits for it, ends the jobs by SIGTERM and interrupts Snakemake.
"""

import contextlib
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from madsep.core.temporary import sweep

SCRIPTS = "/.snakemake/scripts/"  # where the Python programs of the jobs lie
INTERRUPTED = threading.Event()
QUIETENED: list[Callable[[], None]] = []  # what is called before the jobs are ended: it takes the progress bar away
WAKE = signal.SIGUSR1  # interrupts the main thread, wherever it waits


def run_snakemake(folder: Path) -> NoReturn:
    """Run Snakemake in this process, in `folder`, with this command's options.

    The process ends with Snakemake's status or, after Ctrl-C, with 130 and a line.
    """
    signal.signal(WAKE, _interrupt)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # for the threads and processes that are started from now on, too
    try:
        threading.Thread(target=_watch, daemon=True).start()
        runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
        status: object = 0
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        status = 1
    if INTERRUPTED.is_set() and status:
        for name in ("results", "submission"):
            sweep(folder / name)
        print("madsep: ERROR: interrupted; nothing half-written is left. Type the same command again to resume.", file=sys.stderr)
        status = 130
    sys.exit(status)  # type: ignore[arg-type]  # as Snakemake gave it


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watch() -> None:
    """Wait for Ctrl-C, then end the jobs that are at work, and those that Snakemake starts before it ends itself."""
    signal.sigwait({signal.SIGINT})
    INTERRUPTED.set()
    for quieten in QUIETENED:
        quieten()
    signal.pthread_kill(threading.main_thread().ident, WAKE)  # type: ignore[arg-type]  # it runs, so it has a number
    told: set[int] = set()
    while True:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.pid not in told and SCRIPTS in "".join(process.cmdline()[1:2]):
                    process.terminate()
                    told.add(process.pid)
        time.sleep(0.1)
