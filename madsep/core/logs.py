"""Logging of jobs and commands, and their exit status after errors."""

import contextlib
import io
import logging
import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from madsep.core.errors import Stopped, one_line, plain
from madsep.core.signals import Interrupted

log = logging.getLogger("madsep")
QUIET = "MADSEP_QUIET"  # environment variable: if set, jobs print only errors and write the rest to their logs
FINISHED = "INFO: finished"  # last line of the log of a job that has succeeded


@contextlib.contextmanager
def job_log(path: str | None = None, prefix: str = "") -> Iterator[None]:
    """Log messages and warnings to stderr and, if `path` is given, to that file. Exceptions in the block end the process.

    In a quiet run, stderr shows only errors. In a Slurm job, the first line of the file names the job and its node. Characters that the
    terminal's encoding lacks are printed as question marks.

    An InputError, and any other error that `madsep.core.errors.plain` turns into one, is logged as one line. The exit status is then 1.
    Stopped is logged as one line, too. The status is 75 (EX_TEMPFAIL of sysexits.h: run the same command again).
    Ctrl-C outside of an `interruptible` block gives status 130, other signals 128 plus their number.
    Any other exception is a defect and gives status 2. Its traceback goes to the log or, if there is no log, to a new file that the message
    names.
    """
    print_anything()
    handlers = _handlers(path, prefix)
    loggers = (log, logging.getLogger("py.warnings"))
    for logger in loggers:
        for handler in handlers:
            logger.addHandler(handler)
    logging.captureWarnings(True)
    log.setLevel(logging.INFO)
    if path and "SLURM_JOB_ID" in os.environ:
        log.info("Slurm job %s on %s", os.environ["SLURM_JOB_ID"], os.environ.get("SLURMD_NODENAME", "an unknown node"))
    try:
        yield
        if path:
            log.info(FINISHED.removeprefix("INFO: "))
    except Stopped as stopped:
        log.error("%s", stopped)
        sys.exit(os.EX_TEMPFAIL)
    except (KeyboardInterrupt, Interrupted) as stopped:
        log.error("interrupted; nothing half-written is left")
        sys.exit(stopped.status if isinstance(stopped, Interrupted) else 130)
    except Exception as error:
        sys.exit(_end(error, handlers, path))
    finally:
        logging.captureWarnings(False)
        for handler in handlers:
            for logger in loggers:
                logger.removeHandler(handler)
            handler.close()


def print_anything() -> None:
    """Make stdout and stderr replace characters that their encoding lacks, so that printing a name cannot fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def log_traceback(what: str, trace: str | None = None) -> str | None:
    """Write `what` and a traceback only to the job's log file. Return its path, or None if the job has no log file.

    The traceback is `trace`, which another process sent, or that of the exception being handled.
    """
    text, raised = (what, sys.exc_info()) if trace is None else (f"{what}\n{trace}", None)
    for handler in log.handlers:
        if isinstance(handler, _LogFile):
            handler.handle(log.makeRecord(log.name, logging.DEBUG, "", 0, text, (), raised))
            return handler.baseFilename
    return None


def _handlers(path: str | None, prefix: str) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [_Terminal()]
    if path:
        with _writing(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            handlers.append(_LogFile(path, mode="w", encoding="utf-8", errors="backslashreplace"))
        if QUIET in os.environ:
            handlers[0].setLevel(logging.ERROR)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"{prefix}%(levelname)s: %(message)s"))
    return handlers


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """Exit with a one-line message if the job's log cannot be written."""
    try:
        yield
    except OSError as error:
        print(f"ERROR: {path}: the log cannot be written ({error.strerror}); the job was not started.", file=sys.stderr)
        sys.exit(1)


def _end(error: Exception, handlers: list[logging.Handler], path: str | None) -> int:
    """Log why a job or command failed. Return its exit status."""
    line = plain(error)
    if line is not None:
        log.error("%s", line)
        return 1
    if path:
        handlers[1].handle(log.makeRecord(log.name, logging.CRITICAL, "", 0, "unexpected failure", (), sys.exc_info()))
        log.error("unexpected failure; the traceback is in %s", path)
    else:
        log.error("this is a fault of madsep (%s: %s); %s", type(error).__name__, one_line(error), _kept_traceback())
    return 2


def _kept_traceback() -> str:
    """Write the command, the versions and the current exception's traceback to a new file. Return a sentence that names it."""
    versions = f"madsep {_version()}, Python {platform.python_version()}, {platform.platform()}"
    text = f"{shlex.join(sys.argv)}\n{versions}\n\n{traceback.format_exc()}"
    try:
        handle, name = tempfile.mkstemp(prefix="madsep-fault-", suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:  # noqa: PTH123  # the file is already open
            stream.write(text)
    except OSError as error:
        return f"its traceback could not be written ({one_line(error)})."
    return f"please report it with {name}, which says what happened."


def _version() -> str:
    import importlib.metadata  # importing it takes longer than all else that printing a command's help needs

    try:
        return importlib.metadata.version("madsep")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


class _Terminal(logging.StreamHandler[TextIO]):
    """Writes to the current stderr, which a progress bar replaces to stay below the log lines."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _LogFile(logging.FileHandler):
    """A log file that ignores write errors such as a full disk. Every line also goes to stderr, including the one about the disk."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()
