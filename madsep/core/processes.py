"""External programs. Each runs in its own process group, which ends when its work is done, fails or is interrupted."""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

STALL_S = 60.0  # a program that writes nothing for this long is killed
MAX_COMPLAINT_BYTES = 1 << 16


class Stalled(Exception):
    """A program wrote nothing for `STALL_S` seconds, or did not exit within them."""


@dataclass
class Program:
    """A running program. `complaint`, its stderr, is known after its `with` block."""

    process: subprocess.Popen[bytes]
    messages: IO[bytes]
    complaint: str = ""

    @property
    def status(self) -> int:
        """The exit status. Raises Stalled if the program does not exit in time."""
        try:
            return self.process.wait(STALL_S)
        except subprocess.TimeoutExpired:
            raise Stalled from None

    def blocks(self, n_bytes: int) -> Iterator[bytes]:
        """Yield the program's output in blocks of `n_bytes`. The last one may be shorter. Raises Stalled."""
        assert self.process.stdout is not None
        handle = self.process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            block, read_s = bytearray(), time.monotonic()
            while True:
                if not selector.select(max(0.0, read_s + STALL_S - time.monotonic())):
                    raise Stalled
                data = os.read(handle, n_bytes - len(block))
                block += data
                if (not data and block) or len(block) == n_bytes:
                    yield bytes(block)
                    block.clear()
                if not data:
                    return
                read_s = time.monotonic()


@contextlib.contextmanager
def program(command: Sequence[str]) -> Iterator[Program]:
    """Start a program without input. When the block ends for any reason, its process group is killed.

    On Linux the program also ends if madsep itself is killed.
    """
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            [*_ends_with_parent(), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, start_new_session=True
        )
        running = Program(process, messages)
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has already ended
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            messages.seek(0)
            running.complaint = messages.read(MAX_COMPLAINT_BYTES).decode(errors="replace").strip()


def _ends_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")  # of util-linux
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
