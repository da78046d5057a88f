"""Logging for jobs and commands: plain lines, and plain ends for what a user can mend."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from madsep.core.errors import InputError, Stopped

log = logging.getLogger("madsep")
FINISHED = "INFO: finished"  # last line of the log of a job that has succeeded


@contextlib.contextmanager
def job_log(path: str | None = None, prefix: str = "") -> Iterator[None]:
    """Log, warnings too, to stderr and, where `path` is given, to that file; end an InputError as one line and exit status 1.

    In a job of Slurm the first line of the file names the job and its node.

    Stopped ends as one line, too, and status 75 (EX_TEMPFAIL of sysexits.h: run the same command again), Ctrl-C elsewhere with 130. Any
    other exception is a defect: status 2 and its traceback in the log, or on stderr where there is none.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(_LogFile(path, mode="w", encoding="utf-8"))
    loggers = (log, logging.getLogger("py.warnings"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"{prefix}%(levelname)s: %(message)s"))
        for logger in loggers:
            logger.addHandler(handler)
    logging.captureWarnings(True)
    log.setLevel(logging.INFO)
    if path and "SLURM_JOB_ID" in os.environ:
        log.info("Slurm job %s on %s", os.environ["SLURM_JOB_ID"], os.environ.get("SLURMD_NODENAME", "an unknown node"))
    try:
        yield
        if path:
            log.info(FINISHED.removeprefix("INFO: "))
    except InputError as error:
        log.error("%s", error)
        sys.exit(1)
    except Stopped as stopped:
        log.error("%s", stopped)
        sys.exit(os.EX_TEMPFAIL)
    except KeyboardInterrupt:
        log.error("interrupted; nothing half-written is left")
        sys.exit(130)
    except Exception:
        if path:
            logging.FileHandler.handle(handlers[1], _defect())  # traceback into the job's own log
            log.error("unexpected failure; the traceback is in %s", path)
            sys.exit(2)
        raise
    finally:
        logging.captureWarnings(False)
        for handler in handlers:
            for logger in loggers:
                logger.removeHandler(handler)
            handler.close()


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


def _defect() -> logging.LogRecord:
    return log.makeRecord(log.name, logging.CRITICAL, "", 0, "unexpected failure", (), sys.exc_info())


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short without a word: every line stands on stderr as well, the one about the disk too."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()
