"""What ends a command or a job other than success or a defect."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


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
        """Keep the message of an InputError for later. Raises DiskFull at once: the other tracks would meet it too."""
        try:
            yield
        except DiskFull:
            raise
        except InputError as error:
            self.lines.append(str(error))

    def raise_all(self) -> None:
        """Raise InputError with all messages, if there are any."""
        if self.lines:
            raise InputError("\n".join(self.lines))


class Stopped(Exception):
    """The work was stopped from outside before its end, and the same command resumes it; the message says how far it came."""
