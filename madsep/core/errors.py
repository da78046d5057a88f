"""Exceptions for failures that are not defects, and their messages."""

import contextlib
import difflib
import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

from madsep.core.extras import missing

# causes in the file system, which are never a defect of the program
OS_ERROR_WORDS = {
    errno.EACCES: "no permission to read or write it",
    errno.EPERM: "no permission to read or write it",
    errno.EROFS: "lies on a disk that is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is too long for this disk; choose a shorter one",
    errno.ELOOP: "is a link that leads back to itself",
    errno.ENOTDIR: "lies below a file, but a folder is needed",
    errno.EISDIR: "is a folder; expected a file",
    errno.EIO: "the disk failed to read or write it (input/output error)",
    errno.ESTALE: "the network drive lost it (stale file handle)",
    errno.ENXIO: "is a pipe or a device; expected a file",
}
MAX_REASON = 300  # characters


class InputError(ValueError):
    """An error in something the user supplied. The message says what is wrong, where, what was expected and what to do.

    The command line and the workflow print only the message, without a traceback, and exit with a non-zero status.
    """


class DiskFull(InputError):
    """A file could not be written because the disk is full."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path}: the disk is full; nothing was written. Free some space and run the same command again.")
        self.path = path


class Faults:
    """Faults of several tracks, collected and raised together when the other tracks are done."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Collect the message of an InputError, or of an exception that `plain` turns into one.

        Raises DiskFull at once because the other tracks would fail in the same way.
        """
        try:
            yield
        except Exception as error:
            line = plain(error)
            if line is None or isinstance(line, DiskFull):
                raise (line or error) from None
            self.lines.append(str(line))

    def raise_all(self) -> None:
        """Raise InputError with all collected messages, if there are any."""
        if self.lines:
            raise InputError("\n".join(self.lines))


class Stopped(Exception):
    """The work was stopped from outside before it was complete. The message says how far it got. The same command resumes it."""


def require(package: str, what: str) -> None:
    """Raise InputError naming the extra to install if `package`, which `what` needs, is not installed."""
    if line := missing(package, what):
        raise InputError(line)


def plain(error: BaseException) -> InputError | None:
    """Return an error that a user can fix as InputError, and None for any other error, which is a defect.

    Users can fix an InputError, a missing package of an extra, a file system error for a named file, and a lack of memory.
    """
    if isinstance(error, InputError):
        return error
    if isinstance(error, ModuleNotFoundError) and (line := missing(error.name or "")):
        return InputError(line)
    if isinstance(error, MemoryError):
        return InputError("Not enough memory; close other programs, use fewer jobs, or a machine with more memory.")
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(error.filename or "the folder for results")
        words = os_error_words(error)
        if words and error.filename is not None:
            return InputError(f"{error.filename}: {words}.")
    return None


def os_error_words(error: OSError) -> str | None:
    """Return a description of a file system error, or None for any other error."""
    return OS_ERROR_WORDS.get(error.errno or 0)


def one_line(error: BaseException) -> str:
    """Return an exception's message shortened to one line, or the name of its type if the message is empty or cannot be made."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # some other package's exceptions cannot be converted to text
        text = ""
    return text[:MAX_REASON] or type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint `; did you mean 'X'?` with the most similar known word, or an empty string if none is similar."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
