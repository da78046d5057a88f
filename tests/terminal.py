"""A program in a pseudo-terminal: its output as shown on the screen, and keys typed to it."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CTRL_C = b"\x03"
SIZE = struct.pack("HHHH", 40, 160, 0, 0)  # rows, columns


class Terminal:
    """Starts a command; `text` is all that it has shown."""

    def __init__(self, command: Sequence[object], folder: Path, **variables: str) -> None:
        self.text = ""
        words, given = [*map(str, command)], self._variables(variables)
        self.process, self._file = pty.fork()
        if self.process == 0:
            with contextlib.suppress(BaseException):
                fcntl.ioctl(1, termios.TIOCSWINSZ, SIZE)
                os.chdir(folder)
                os.execve(words[0], words, given)
            os._exit(127)

    @staticmethod
    def _variables(changes: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
        return kept | {"TERM": "xterm-256color"} | changes

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._file, keys)

    def wait_for(self, words: str, seconds: float = 300) -> None:
        """Wait until the words are shown after all that was shown before."""
        begin, end = len(self.text), time.monotonic() + seconds
        while words not in self.text[begin:]:
            assert self._read() and time.monotonic() < end, self.text

    def wait(self) -> int:
        """Wait for the end; return the exit status, negative for a signal."""
        while self._read():
            pass
        os.close(self._file)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _read(self) -> bool:
        """Take what is shown next, if anything comes within a moment; return whether the program is there."""
        if select.select([self._file], [], [], 0.2)[0]:
            try:
                found = os.read(self._file, 1 << 16)
            except OSError:  # of Linux, when the program has ended
                return False
            self.text += found.decode("utf-8", "replace")
            return bool(found)
        return True
