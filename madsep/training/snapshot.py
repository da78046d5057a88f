"""Files of saved training states: their names, and how a new state replaces the previous one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from madsep.models.checkpoint import write_tensors


@dataclass(frozen=True)
class Snapshot:
    """A state at one moment, in the host's memory. Its copy from a GPU is complete once the event `arrived` has passed."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    arrived: torch.cuda.Event | None = None

    def write(self, path: Path) -> None:
        """Write the state whole and keep the previous one.

        Raises DiskFull if the disk is full. Both earlier states then remain.
        """
        if self.arrived is not None:
            self.arrived.synchronize()
        write_tensors(_next(path), self.tensors, self.metadata)
        if path.exists():
            path.replace(previous(path))
        _next(path).replace(path)


def discard(path: Path) -> None:
    """Remove the saved states of a finished training."""
    for candidate in (path, previous(path), _next(path)):
        candidate.unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Return the file of the state saved before the one at `path`."""
    return path.with_stem(path.stem + ".previous")


def _next(path: Path) -> Path:
    return path.with_stem(path.stem + ".next")
