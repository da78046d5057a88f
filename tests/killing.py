"""A program that kills trainings: python killing.py MANIFEST ROOT SEED. It prints, as JSON, folder -> moments of its kills in seconds.

Each run is a child of its own, started from one process that has everything imported, so that a run takes no longer than its training.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch.utils.tensorboard
from tiny import tiny_recipe
from trainings import EACH_STEP, run

RECIPE = tiny_recipe(training={"n_epochs": 3})
KILLS = [2, *8 * [1]]  # of each run


def start(manifest: Path, folder: Path) -> int:
    """Start a run in a child process; return its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run(RECIPE, manifest, folder, EACH_STEP)
            status = 0
        finally:
            os._exit(status)
    return child


def ends(child: int) -> bool:
    """Wait for a run; return whether it came to its end, rather than being killed."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status == 0


def killed(manifest: Path, folder: Path, moment_s: float) -> bool:
    """Kill a run that long after its start; return whether it was still running."""
    child = start(manifest, folder)
    time.sleep(moment_s)
    os.kill(child, signal.SIGKILL)
    return not ends(child)


def main(manifest: Path, root: Path, seed: int) -> None:
    torch.use_deterministic_algorithms(True)  # imports much, once
    generator = random.Random(seed)
    began = time.monotonic()
    assert ends(start(manifest, root / "whole"))
    whole_s = time.monotonic() - began
    moments: dict[str, list[float]] = {}
    for number, n_kills in enumerate(KILLS):
        folder = root / f"killed{number}"
        moments[folder.name] = []
        while len(moments[folder.name]) < n_kills:
            moment_s = generator.uniform(0, whole_s / n_kills)
            if killed(manifest, folder, moment_s):
                moments[folder.name].append(moment_s)
        assert ends(start(manifest, folder))
    print(json.dumps(moments))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
