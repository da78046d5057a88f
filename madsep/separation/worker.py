"""The job's side of the separate process that runs a user's callable. If the process ends, only the current track fails."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.core.files import scratch_file
from madsep.core.logs import log_traceback
from madsep.separation.callables import make_current_folder_importable

Audio = NDArray[np.float32]
GRACE_S = 2.0  # time for a callable's process to end by itself
POLL_S = 0.2
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from madsep.separation.child import serve; "
    "serve(sys.argv[2], *map(int, sys.argv[3:]))"
)


@dataclass(frozen=True)
class Declared:
    """A callable's attribute `madsep_targets`: as shown in messages, and as names, or None if it is not a tuple or a list."""

    shown: str
    names: tuple[str, ...] | None


class Worker:
    """A context manager for a process that has imported a callable. If the process has died, the next call starts another."""

    def __init__(self, separator: str) -> None:
        self.separator = separator
        self._process: subprocess.Popen[bytes] | None = None
        self._ours: tuple[int, int, int] = (-1, -1, -1)  # requests, replies, life
        self._told: Mapping[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(GRACE_S if error is None else 0.0)

    def declared(self) -> Declared | None:
        """Import the callable and return the targets that it declares, or None if it has no attribute `madsep_targets`.

        Raises InputError as `load_separator` does, and if the import ends the process.
        """
        self._start()
        if not self._told["declares"]:
            return None
        names = self._told["names"]
        return Declared(self._told["shown"], None if names is None else tuple(names))

    def separate(self, mixture: Audio, sample_rate_hz: int, where: str, scratch: Path) -> dict[str, Audio]:
        """Return the callable's estimates for `mixture`, (n_channels, n_samples) by target. `scratch` is a folder for temporary files.

        Raises InputError, beginning with `where`, as `call_separator` does, and if the process ends.
        """
        self._start()
        path = (scratch / "mixture").absolute()
        with scratch_file(path) as stream:
            np.save(stream, mixture)
        request = {"mixture": str(path), "rate": sample_rate_hz, "where": where}
        with contextlib.suppress(BrokenPipeError):  # the process has died, which `_reply` will notice
            os.write(self._ours[0], json.dumps(request).encode() + b"\n")
        reply = self._reply(f"{where}: the callable")
        return {target: np.load(found, allow_pickle=False) for target, found in reply["estimates"].items()}

    def _start(self) -> None:
        """Start the process unless it is running, and read the targets that the callable declares."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end(0.0)
        make_current_folder_importable()
        theirs_requests, requests = os.pipe()
        replies, theirs_replies = os.pipe()
        theirs_life, life = os.pipe()
        theirs, self._ours = (theirs_requests, theirs_replies, theirs_life), (requests, replies, life)
        # -B: Python checks bytecode by its source's time in whole seconds, so a quick edit could go unnoticed
        command = [sys.executable, "-B", "-c", START, json.dumps(sys.path), self.separator, *map(str, theirs)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=theirs, start_new_session=True)
        for descriptor in theirs:
            os.close(descriptor)
        self._told = self._reply(f"separator {self.separator}: importing its module")

    def _reply(self, what: str) -> dict[str, Any]:
        """Wait for one line from the process. Raises InputError if the line reports a fault or the process ends."""
        line = bytearray()
        while not line.endswith(b"\n"):
            if not self._chunk(line):
                raise InputError(self._death(what))
        reply: dict[str, Any] = json.loads(line)
        if "fault" in reply:
            path = log_traceback(reply["fault"], reply["trace"]) if reply["trace"] else None
            raise InputError(f"{reply['fault']}\nThe traceback is in {path}." if path else reply["fault"])
        return reply

    def _chunk(self, line: bytearray) -> bool:
        """Add what the process has written to `line`, or wait for it. Return False if the process has ended or closed the pipe.

        A process that the callable has started may keep the pipe open for ever, so waiting for the pipe's end alone is not enough.
        """
        assert self._process is not None
        has_ended = self._process.poll() is not None
        if select.select([self._ours[1]], [], [], 0 if has_ended else POLL_S)[0]:
            found = os.read(self._ours[1], 65_536)
            line += found
            return bool(found)
        return not has_ended

    def _death(self, what: str) -> str:
        """Return the message for a process that has ended or closed its pipe, and end it in the second case."""
        process = self._process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        status = process.poll()
        self._end(0.0)
        if status in (None, os.EX_IOERR):
            return f"{what} closed the files of its process; a separator may close only what it has opened."
        assert status is not None
        if status == -signal.SIGKILL:
            return f"{what} was killed, probably because memory ran out. Give it more memory, or run fewer jobs at once."
        if status < 0:
            return f"{what} ended its process by the signal {signal.Signals(-status).name}; the fault is in the separator."
        return f"{what} ended its process with exit status {status} instead of returning; the fault is in the separator."

    def _end(self, grace_s: float) -> None:
        """End the process and all processes that it has started."""
        process, ours = self._process, self._ours
        if process is None:
            return
        self._process = None
        requests, replies, life = ours
        os.close(requests)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all processes have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(replies)
        os.close(life)


@cache
def _declared_in(separator: str, folder: Path) -> Declared | None:
    with Worker(separator) as worker:
        return worker.declared()


def declared_targets(separator: str) -> Declared | None:
    """Return the result of `Worker.declared`, cached per current folder."""
    return _declared_in(separator, Path.cwd())
