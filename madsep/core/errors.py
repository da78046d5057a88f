"""What ends a command or a job other than success or a defect."""

import contextlib
import difflib
import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

from madsep.core.extras import missing

# what the disk, its permissions or its names forbid: never a defect of the program
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
    """Something given from outside is wrong; the message says what, where, what was expected and what to do.

    The command line and the workflow print the message alone, without a traceback, and end with a non-zero status.
    """


class DiskFull(InputError):
    """A file could not be written for want of space."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path}: the disk is full; nothing was written. Free some space and run the same command again.")
        self.path = path


class Faults:
    """What is wrong with each of several tracks, raised together when the others are done."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep the message of an InputError, or of what `plain` turns into one, for later.

        Raises DiskFull at once: the other tracks would meet it too.
        """
        try:
            yield
        except Exception as error:
            line = plain(error)
            if line is None or isinstance(line, DiskFull):
                raise (line or error) from None
            self.lines.append(str(line))

    def raise_all(self) -> None:
        """Raise InputError with all messages, if there are any."""
        if self.lines:
            raise InputError("\n".join(self.lines))


class Stopped(Exception):
    """The work was stopped from outside before its end, and the same command resumes it; the message says how far it came."""


def require(package: str, what: str) -> None:
    """Raise InputError that names the extra to install, unless a package of `madsep.core.extras` that `what` needs is installed."""
    if line := missing(package, what):
        raise InputError(line)


def plain(error: BaseException) -> InputError | None:
    """Return an error that a person can mend as InputError: one itself, a package of an extra that is missing, the disk's refusal of a
    named file, a lack of memory.

    None for any other error, which is a defect.
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
    """Return in words what the disk forbids; None for any other error."""
    return OS_ERROR_WORDS.get(error.errno or 0)


def one_line(error: BaseException) -> str:
    """Return an exception's message as one short line, or its type's name if it has none, or one that cannot be made."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # which another program's exception may do
        text = ""
    return text[:MAX_REASON] or type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint `; did you mean X?`, or nothing if no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
