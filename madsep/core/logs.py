"""Logging for jobs and commands: plain lines, and plain ends for what a user can mend."""

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

from madsep.core.errors import Stopped, one_line, plain
from madsep.core.signals import Interrupted

log = logging.getLogger("madsep")
QUIET = "MADSEP_QUIET"  # environment variable: if it is set, jobs write all but errors to their logs alone
FINISHED = "INFO: finished"  # last line of the log of a job that has succeeded


@contextlib.contextmanager
def job_log(path: str | None = None, prefix: str = "") -> Iterator[None]:
    """Log, warnings too, to stderr and, if `path` is given, to that file; end an InputError as one line and exit status 1.

    So ends whatever else a person can mend, as `madsep.core.errors.plain` says. A job of a quiet run shows errors alone on stderr. In a job
    of Slurm the first line of the file names the job and its node. What the terminal's encoding lacks is printed as a question mark.

    Stopped ends as one line, too, and status 75 (EX_TEMPFAIL of sysexits.h: run the same command again), Ctrl-C elsewhere with 130, other
    signals with 128 and their number. Any other exception is a defect: status 2, and its traceback in the log, or, without one, in a new
    file that the line names.
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
    """Let stdout and stderr replace what their encoding lacks, so that no name ends finished work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def log_traceback(what: str, trace: str | None = None) -> str | None:
    """Write `what` and a traceback into the job's own log alone; return its path, or None without one.

    The traceback is `trace`, from another process, or that of the exception being handled.
    """
    text, raised = (what, sys.exc_info()) if trace is None else (f"{what}\n{trace}", None)
    for handler in log.handlers:
        if isinstance(handler, _LogFile):
            handler.handle(log.makeRecord(log.name, logging.DEBUG, "", 0, text, (), raised))
            return handler.baseFilename
    return None


def _handlers(path: str | None, prefix: str) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler()]
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
    """End the job with a line if its log cannot be written."""
    try:
        yield
    except OSError as error:
        print(f"ERROR: {path}: the log cannot be written ({error.strerror}); the job was not started.", file=sys.stderr)
        sys.exit(1)


def _end(error: Exception, handlers: list[logging.Handler], path: str | None) -> int:
    """Log how a failed job or command ends; return its exit status."""
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
    """Write the command, the versions and the traceback of the exception being handled to a new file; say which one."""
    versions = f"madsep {_version()}, Python {platform.python_version()}, {platform.platform()}"
    text = f"{shlex.join(sys.argv)}\n{versions}\n\n{traceback.format_exc()}"
    try:
        handle, name = tempfile.mkstemp(prefix="madsep-fault-", suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:  # noqa: PTH123  # a file that is open already
            stream.write(text)
    except OSError as error:
        return f"its traceback could not be written ({one_line(error)})."
    return f"please report it with {name}, which says what happened."


def _version() -> str:
    import importlib.metadata  # takes longer than all else that a command needs to print its help

    try:
        return importlib.metadata.version("madsep")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short without a word: every line stands on stderr as well, the one about the disk too."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()
