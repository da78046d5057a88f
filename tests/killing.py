"""A program that kills trainings: python killing.py PREPARED ROOT SEED. It prints, as JSON, folder -> before which operations.

An operation is one on the file system in the training's folder. Each training is a child process that kills itself with SIGKILL,
started from one process that has everything imported, so that a run takes no longer than its training.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import torch
import torch.utils.tensorboard
from tiny import tiny_recipe
from trainings import EACH_STEP, Tracks, read_all_prepared, run

RECIPE = tiny_recipe(training={"n_epochs": 1})
KILLS = [2, *8 * [1]]  # of each training
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


class Operations:
    """Counts a process's operations in a folder; before number `last`, it kills the process."""

    def __init__(self, folder: Path, last: int | None) -> None:
        self.folder, self.last, self.count = str(folder), last, 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in OPERATIONS and str(arguments[0]).startswith(self.folder):
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1


def train_in_child(tracks: Tracks, folder: Path, last: int | None) -> int | None:
    """Train in a process of its own; return the number of its operations, or None if it was killed before number `last`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            operations = Operations(folder, last)
            sys.addaudithook(operations)
            run(RECIPE, tracks, folder, EACH_STEP)
            os.write(writer, str(operations.count).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as stream:
        told = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return int(told) if status == 0 else None


def main(tracks: Tracks, root: Path, seed: int) -> None:
    torch.use_deterministic_algorithms(True)  # imports much, once
    generator = random.Random(seed)
    n_operations = train_in_child(tracks, root / "whole", None)
    assert n_operations is not None
    kills: dict[str, list[int]] = {}
    for number, n_kills in enumerate(KILLS):
        folder = root / f"killed{number}"
        kills[folder.name] = [generator.randrange(n_operations // n_kills) for _ in range(n_kills)]
        for last in kills[folder.name]:
            assert train_in_child(tracks, folder, last) is None
        assert train_in_child(tracks, folder, None) is not None
    print(json.dumps(kills))


if __name__ == "__main__":
    main(read_all_prepared(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
