"""The training loop: epochs, and the times at which the host reads the device's progress, saves and stops."""

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from madsep.core.errors import InputError, Stopped
from madsep.core.progress import Progress
from madsep.systems.recipe import System
from madsep.training.records import RunFiles
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState
from madsep.training.step import stepper
from madsep.training.stop import Stop
from madsep.training.validation import validation_loss, validation_sdr

LOOK_EVERY_S = 10.0  # maximum delay in detecting a step that is not finite; each check waits for the device


class Loop:
    """Epochs over the sequences, in an order that depends only on the seed and the epoch's number."""

    def __init__(self, recipe: System, state: TrainingState, sequences: Sequences, held_out: Sequences) -> None:
        self.recipe, self.state, self.sequences, self.held_out = recipe, state, sequences, held_out
        self.n_steps = math.ceil(len(sequences) / recipe.training.batch_size)
        self.step = stepper(recipe, state, sequences, state.device)
        self.looked = time.monotonic()
        self.seen = ""  # the last known loss

    def run(self, files: RunFiles, stop: Stop, after_epoch: Callable[[], None] | None = None) -> None:
        """Train to the last epoch, from the saved state if there is one. Save the state when due and usually after each epoch.

        `after_epoch` is called when an epoch's files are written. Raises Stopped, after saving the state, if asked to stop. Raises
        InputError, after saving the last good state, if a loss or a gradient is not finite.
        """
        n_epochs = self.recipe.training.n_epochs
        with (
            files.writing(self.state),
            Progress(f"training {self.recipe.name}", n_epochs * self.n_steps, self.state.position.step) as progress,
        ):
            position = self.state.position
            while position.epoch < n_epochs:
                began = time.monotonic()
                self.state.set_rate()
                self._steps(files, stop, progress)
                self._look(files)
                epoch_s, wait_s = time.monotonic() - began, self.sequences.wait_s
                row = self._end_epoch()
                files.end_epoch(self.state, wait_s / epoch_s, is_last=position.epoch == n_epochs)
                validation = f", validation {row['validation_loss']:.4f}" if self.held_out else ""
                waited = f"waited {wait_s:.1f} s for data, {wait_s / epoch_s:.1%} of the time"
                progress.note(f"epoch {row['epoch']}: loss {row['loss']:.4f}{validation}; {waited}")
                if after_epoch:
                    files.wait()
                    after_epoch()
        files.finish(position.history)

    def batches(self) -> list[Tensor]:
        """Draw the current epoch and return the sequence numbers of each of its batches."""
        generator = torch.Generator().manual_seed(self.recipe.training.seed * 1_000_003 + self.state.position.epoch)
        order = torch.randperm(len(self.sequences), generator=generator)
        self.sequences.draw(generator)
        return list(order.split(self.recipe.training.batch_size))

    def _steps(self, files: RunFiles, stop: Stop, progress: Progress) -> None:
        """Take the remaining steps of the epoch."""
        position = self.state.position
        with contextlib.closing(self.sequences.stream(self.batches()[position.step_in_epoch :])) as stream:
            for _, spans in stream:
                self.step(spans)
                progress.advance(1, f"epoch {position.epoch + 1}{self.seen}")
                if stop.reason:
                    self._look(files)
                    self._stop(files, stop.reason)
                elif files.due():
                    self._look(files)
                    files.save(self.state)
                elif time.monotonic() - self.looked > LOOK_EVERY_S:
                    self._look(files)

    def _look(self, files: RunFiles) -> None:
        """Wait for the device and update the position from its tally. Raises InputError if a step was not finite."""
        position, found = self.state.position, self.state.tally.read()
        position.step_in_epoch, position.sums = found.n_steps, found.sums
        position.step = position.epoch * self.n_steps + found.n_steps
        self.looked, self.seen = time.monotonic(), f" loss {found.loss:.4f}"
        if found.ended:
            files.save(self.state)
            files.wait()
            tracks = ", ".join(self.sequences.tracks_of(self.batches()[found.n_steps]))
            raise InputError(
                f"epoch {position.epoch + 1}, step {position.step + 1}: loss {found.loss}, gradient norm {found.norm}; not finite. "
                f"The last good state is kept. Tracks in this batch: {tracks}. Try a lower training.learning_rate."
            )

    def _stop(self, files: RunFiles, reason: str) -> None:
        position = self.state.position
        files.save(self.state)
        resumes = "from here" if files.wait() else "from the state saved before"
        raise Stopped(
            f"training stopped by {reason} at epoch {position.epoch + 1}, step {position.step}; the same command resumes {resumes}."
        )

    def _end_epoch(self) -> dict[str, Any]:
        """Add the epoch's row to the history and move to the next epoch."""
        state, position, training = self.state, self.state.position, self.recipe.training
        means = {name: total / len(self.sequences) for name, total in position.sums.items()}
        row: dict[str, Any] = {"epoch": position.epoch + 1, "step": position.step, **means}
        row["learning_rate"] = state.optimiser.param_groups[0]["lr"]
        row["validation_loss"] = self._validate()
        row["validation_sdr"] = validation_sdr(self.recipe, state.network, self.held_out, state.device)
        position.history.append(row)
        if training.plateau and row["epoch"] >= training.plateau.first_epoch and state.schedule:
            state.schedule.step(sum(row[name] for name in self.recipe.trained_family.followed))
        if training.selection == "best":
            state.keep_best(row["validation_loss"])
        position.epoch += 1
        position.step_in_epoch, position.sums = 0, {}
        state.tally.set(0, {})
        return row

    def _validate(self) -> float | None:
        if not self.held_out:
            return None
        loss = validation_loss(self.recipe, self.state.network, self.held_out)
        if not math.isfinite(loss):
            raise InputError(
                f"epoch {self.state.position.epoch + 1}: the validation loss is {loss}, not finite. The last good state is kept. "
                f"Validation tracks: {', '.join(self.held_out.names)}. Try a lower training.learning_rate."
            )
        return loss
