"""The parts of a training. A training may be stopped or killed and then resumed, and each process that works on it is one part."""

import datetime
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from madsep.core.errors import InputError
from madsep.core.files import read_json, write_json
from madsep.core.logs import log


@dataclass
class Part:
    """The work of one process up to its last saved state."""

    began: str  # UTC
    device: str
    slurm_job_id: str | None
    seconds: float
    steps: int


class Parts:
    """The parts so far, in the file `path`. They are not in the training state, which must not depend on the time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = _read(path)

    def begin(self, device: torch.device, step: int) -> None:
        """Add a part that starts at `step`. Raises DiskFull."""
        self.first_step, self.began_s = step, time.monotonic()
        began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self.parts.append(Part(began, name, os.environ.get("SLURM_JOB_ID"), 0.0, 0))
        self._write()

    def update(self, step: int) -> None:
        """Record that the last part has reached `step`. Raises DiskFull."""
        self.parts[-1].seconds = round(time.monotonic() - self.began_s, 1)
        self.parts[-1].steps = step - self.first_step
        self._write()

    def values(self) -> list[dict[str, Any]]:
        """Return the parts as plain values."""
        return [asdict(part) for part in self.parts]

    def _write(self) -> None:
        write_json(self.path, {"parts": self.values()})


def _read(path: Path) -> list[Part]:
    if not path.exists():
        return []
    try:
        return TypeAdapter(dict[str, list[Part]]).validate_python(read_json(path))["parts"]
    except (InputError, ValidationError, KeyError):
        log.warning("%s: is damaged, so the earlier parts of this training are not in its provenance.", path)
        return []
