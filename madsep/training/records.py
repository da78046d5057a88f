"""Files that training writes while it runs: the state from which it can resume, its parts, the loss history, TensorBoard events."""

import contextlib
import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from madsep.core.errors import DiskFull
from madsep.core.files import write_text
from madsep.core.logs import log
from madsep.training.events import Events
from madsep.training.parts import Parts
from madsep.training.snapshot import Snapshot, discard
from madsep.training.state import TrainingState
from madsep.training.writer import Writer

FIRST, LAST = ("epoch", "step", "loss"), ("learning_rate", "validation_loss", "validation_sdr")  # columns around those of the loss's terms
STATE, HISTORY, PARTS = "state.safetensors", "history.csv", "training.json"
FREE_S, MAY_TAKE = 2.0, 0.05  # seconds and share of the training time that writing after epochs may take


class RunFiles:
    """The files in a training's folder, which a thread writes while training continues.

    If the disk is full, training logs that and continues without writing. The next save tries again.
    """

    def __init__(self, folder: Path, identity: str, save_every_s: float) -> None:
        """`identity` is that of the training. A saved state of another training is refused."""
        self.folder, self.identity, self.save_every_s = folder, identity, save_every_s
        self.history_file = folder / HISTORY
        self.parts = Parts(folder / PARTS)
        self.events = Events(folder)
        self.rows: list[dict[str, Any]] = []  # for TensorBoard, one per epoch
        self.began = self.saved = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save the state."""
        return time.monotonic() - self.saved > self.save_every_s

    @contextlib.contextmanager
    def writing(self, state: TrainingState) -> Iterator[None]:
        """Restore the last saved state, if any, and begin another part of the training. At the end of the block, wait for all writes."""
        state.resume(self.folder / STATE, self.identity)
        with _unless_full():
            self.parts.begin(state.device, state.position.step)
        self.writer, self.began = Writer(), time.monotonic()
        try:
            yield
            self.wait()
        finally:
            self.writer.close()
            with _unless_full():
                self.events.close()

    def save(self, state: TrainingState) -> None:
        """Wait for the previous write, then begin to save the state. Raises what the previous write raised."""
        self.wait()
        self._start(state)

    def end_epoch(self, state: TrainingState, data_wait: float, is_last: bool) -> None:
        """Begin to write the history so far, its events and the state, unless writing has taken too much time.

        The limit is FREE_S seconds plus the share MAY_TAKE of the time so far. A state that is due and the last state are always saved.
        `data_wait` is the share of the epoch's time spent waiting for data.
        """
        history = list(state.position.history)
        self.rows.append({**history[-1], "data_wait": data_wait})
        if is_last or self.due() or self.writer.spent_s <= FREE_S + MAY_TAKE * (time.monotonic() - self.began):
            self.wait()
            self._start(state, history, list(self.rows))

    def wait(self) -> bool:
        """Wait for the last write and return whether the disk had room for it. Raises what the write raised."""
        return self.writer.wait()

    def finish(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the complete history. Raises DiskFull."""
        write_history(history, self.history_file)

    def _start(self, state: TrainingState, history: Sequence[Mapping[str, Any]] = (), rows: Sequence[Mapping[str, Any]] = ()) -> None:
        self.saved = time.monotonic()
        snapshot, step = state.snapshot(self.identity), state.position.step
        self.writer.start(lambda: self._write(snapshot, step, history, rows))

    def _write(self, snapshot: Snapshot, step: int, history: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> bool:
        if history:
            with _unless_full():
                write_history(history, self.history_file)
            with _unless_full():
                self.events.write(rows)
        with _unless_full():
            snapshot.write(self.folder / STATE)
            self.parts.update(step)
            return True
        return False


def discard_progress(folder: Path) -> None:
    """Remove the files that only an unfinished training needs: its saved states and the list of its parts."""
    discard(folder / STATE)
    (folder / PARTS).unlink(missing_ok=True)


@contextlib.contextmanager
def _unless_full() -> Iterator[None]:
    try:
        yield
    except DiskFull as error:
        log.warning("%s: the disk is full, so it was not written. Training continues, and the next save tries again.", error.path)


def write_history(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one row per epoch as CSV. There must be at least one epoch."""
    text = io.StringIO()
    columns = [*FIRST, *sorted(set(history[0]) - {*FIRST, *LAST}), *LAST]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())
