"""What a training writes while it runs: the state from which it can resume, its parts, the loss history, TensorBoard events."""

import contextlib
import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from madsep.core.errors import DiskFull
from madsep.core.extras import is_installed, missing
from madsep.core.files import write_error, write_text
from madsep.core.logs import log
from madsep.training.parts import Parts
from madsep.training.state import TrainingState, discard

FIRST, LAST = ("epoch", "step", "loss"), ("learning_rate", "validation_loss", "validation_sdr")  # columns; between them the loss's terms
STATE, HISTORY, PARTS = "state.safetensors", "history.csv", "training.json"


class RunFiles:
    """The files in a training's folder. While the disk is full, training continues without them and says so; the next save tries again."""

    def __init__(self, folder: Path, identity: str, save_every_s: float) -> None:
        """`identity` is that of the training; a saved state of another one is refused."""
        self.folder, self.identity, self.save_every_s = folder, identity, save_every_s
        self.history_file = folder / HISTORY
        self.parts = Parts(folder / PARTS)
        self.saved = time.monotonic()
        self.events: list[dict[str, Any]] = []  # not yet written

    def due(self) -> bool:
        """Whether it is time to save the state."""
        return time.monotonic() - self.saved > self.save_every_s

    def begin(self, state: TrainingState) -> None:
        """Restore the state saved last, if there is one, and begin another part of the training."""
        if line := missing("tensorboard", "writing TensorBoard files"):
            log.info("%s; the losses are in %s", line, self.history_file)
        state.resume(self.folder / STATE, self.identity)
        with _unless_full():
            self.parts.begin(state.device, state.position.step)

    def save(self, state: TrainingState) -> bool:
        """Save the state; return whether the disk had room for it."""
        self.saved = time.monotonic()
        with _unless_full():
            state.save(self.folder / STATE, self.identity)
            self.parts.update(state.position.step)
            return True
        return False

    def add_epoch(self, history: Sequence[Mapping[str, Any]], data_wait: float) -> None:
        """Write the history so far, and its last row as events if TensorBoard is installed.

        `data_wait` is the share of the epoch's time spent waiting for data.
        """
        with _unless_full():
            write_history(history, self.history_file)
        if not is_installed("tensorboard"):
            return
        self.events.append({**history[-1], "data_wait": data_wait})
        with _unless_full():
            write_events(self.events, self.folder)
            self.events.clear()

    def finish(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the history for good. Raises DiskFull."""
        write_history(history, self.history_file)


def discard_progress(folder: Path) -> None:
    """Remove what only an unfinished training needs: its saved states and the list of its parts."""
    discard(folder / STATE)
    (folder / PARTS).unlink(missing_ok=True)


@contextlib.contextmanager
def _unless_full() -> Iterator[None]:
    try:
        yield
    except DiskFull as error:
        log.warning("%s: the disk is full, so it was not written. Training continues, and the next save tries again.", error.path)


def write_history(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one row per epoch as CSV; there is at least one."""
    text = io.StringIO()
    columns = [*FIRST, *sorted(set(history[0]) - {*FIRST, *LAST}), *LAST]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())


def write_events(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write epochs' rows as TensorBoard scalars. Raises DiskFull when there is no room for them."""
    from torch.utils.tensorboard import SummaryWriter

    try:
        with SummaryWriter(str(folder / "tensorboard"), filename_suffix=".madsep") as events:
            for row in rows:
                for name, value in row.items():
                    if name not in ("epoch", "step") and value is not None:
                        events.add_scalar(name, value, row["epoch"])
    except OSError as error:
        raise (write_error(folder / "tensorboard", error) or error) from None
