"""Kill trainings: python killing.py PREPARED ROOT SEED DEVICE N. Prints as JSON, per folder, before which operations.

The operations are those on the file system in the training's folder. Each of the N trainings is a child process that kills itself with
SIGKILL. The first is killed twice. The children are forked from one process that has everything imported, to save time. This parent never
uses the GPU, because forked processes cannot share it.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import cast

import torch
import torch.utils.tensorboard
from tiny import tiny_recipe
from trainings import EACH_STEP, Tracks, read_all_prepared

from madsep.core.devices import Device
from madsep.training.train import Options, train

RECIPE = tiny_recipe(training={"n_epochs": 1})
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


class Operations:
    """Audit hook that counts a process's operations in a folder, and kills the process before operation `last`."""

    def __init__(self, folder: Path, last: int | None) -> None:
        self.folder, self.last, self.count = str(folder), last, 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in OPERATIONS and str(arguments[0]).startswith(self.folder):
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1


def train_in_child(tracks: Tracks, folder: Path, device: Device, last: int | None) -> int | None:
    """Train in a child process. Return the number of its operations, or None if it was killed before operation `last`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            operations = Operations(folder, last)
            sys.addaudithook(operations)
            train(RECIPE, tracks, [], folder, Options(device, 1, EACH_STEP))
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


def main(tracks: Tracks, root: Path, seed: int, device: Device, n_trainings: int) -> None:
    torch.use_deterministic_algorithms(True)  # imports many modules once, before the forks
    torch.use_deterministic_algorithms(False)
    generator = random.Random(seed)
    n_operations = train_in_child(tracks, root / "whole", device, None)
    assert n_operations is not None
    kills: dict[str, list[int]] = {}
    for number in range(n_trainings):
        n_kills = 2 if number == 0 else 1
        folder = root / f"killed{number}"
        kills[folder.name] = [generator.randrange(n_operations // n_kills) for _ in range(n_kills)]
        for last in kills[folder.name]:
            assert train_in_child(tracks, folder, device, last) is None
        assert train_in_child(tracks, folder, device, None) is not None
    print(json.dumps(kills))


if __name__ == "__main__":
    main(read_all_prepared(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]), cast(Device, sys.argv[4]), int(sys.argv[5]))
