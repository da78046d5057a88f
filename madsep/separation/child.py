"""The separate process in which a user's callable runs, so that the callable cannot harm the job's process."""

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from madsep.core.errors import InputError
from madsep.separation.callables import Callee, ForeignError, call_separator, foreign_failure, load_separator


def serve(separator: str, requests: int, replies: int, life: int) -> None:
    """Import the callable, send the targets that it declares, then answer each line of `requests` with estimates, until the last.

    `requests`, `replies` and `life` are file descriptors. Each reply is one line of JSON: the answer, or "fault" and its "trace".
    """
    for descriptor in (requests, replies, life):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    threading.Thread(target=_end_with_parent, args=(life,), daemon=True).start()
    loaded: list[Callee] = []

    def load() -> dict[str, Any]:
        loaded.append(load_separator(separator))
        return _declared(loaded[0])

    if not _answer(replies, f"separator {separator}", load):
        return
    with os.fdopen(requests, encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            _answer(replies, request["where"], lambda request=request: _separate(loaded[0], request))  # type: ignore[misc]


def _declared(separate: Callee) -> dict[str, Any]:
    """Return whether the callable declares targets, how to show them, and their names if they are a list or a tuple."""
    if not hasattr(separate, "madsep_targets"):
        return {"declares": False}
    names = separate.madsep_targets
    return {"declares": True, "shown": repr(names), "names": list(map(str, names)) if isinstance(names, (tuple, list)) else None}


def _separate(separate: Callee, request: dict[str, Any]) -> dict[str, Any]:
    mixture = np.load(request["mixture"], allow_pickle=False)
    found = call_separator(separate, mixture, request["rate"], request["where"])
    paths = {target: f"{request['mixture']}.{target}" for target in found}
    for target, audio in found.items():
        with Path(paths[target]).open("wb") as stream:
            np.save(stream, audio)
    return {"estimates": paths}


def _answer(replies: int, where: str, work: Callable[[], dict[str, Any]]) -> bool:
    """Write the result of `work` or its fault, and return whether it succeeded."""
    try:
        reply, succeeded = work(), True
    except BaseException as error:  # a user's code may raise anything, also from the object that it returns
        fault = error if isinstance(error, InputError) else foreign_failure(f"{where}: failed", error)
        reply, succeeded = {"fault": str(fault), "trace": fault.trace if isinstance(fault, ForeignError) else None}, False
    try:
        os.write(replies, json.dumps(reply).encode() + b"\n")
    except OSError:  # the callable has closed the pipe
        os._exit(os.EX_IOERR)
    return succeeded


def _end_with_parent(life: int) -> None:
    """Wait until the parent closes the pipe or dies, then end this process and those that it has started."""
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)
