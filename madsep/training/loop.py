"""The training loop: epochs, steps, validation and the loss history."""

import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from madsep.errors import InputError
from madsep.files import write_error, write_text
from madsep.progress import Progress
from madsep.systems import System
from madsep.training.sequences import Sequences
from madsep.training.state import Trainer
from madsep.training.validation import validation_sdr

HISTORY = ("epoch", "step", "loss", "kl_denoised", "kl_masked", "latent", "learning_rate", "validation_loss", "validation_sdr")


class Loop:
    """Epochs over the sequences in an order that only the seed and the epoch's number decide."""

    def __init__(self, recipe: System, trainer: Trainer, sequences: Sequences, held_out: Sequences) -> None:
        self.recipe, self.trainer, self.sequences, self.held_out = recipe, trainer, sequences, held_out
        self.n_steps = math.ceil(len(sequences) / recipe.training.batch_size)

    def run(self, save: Callable[[], None], save_every_s: float, folder: Path) -> None:
        """Train to the last epoch, saving the state at each epoch's end and every `save_every_s` seconds."""
        position, saved = self.trainer.position, time.monotonic()
        with Progress(f"training {self.recipe.name}", self.recipe.training.n_epochs * self.n_steps, position.step) as progress:
            while position.epoch < self.recipe.training.n_epochs:
                for numbers in self.batches():
                    loss = self.step(numbers)
                    progress.advance(1, f"epoch {position.epoch + 1} loss {loss:.4f}")
                    if time.monotonic() - saved > save_every_s:
                        save()
                        saved = time.monotonic()
                self._end_epoch()
                write_history(position.history, folder)
                write_events(position.history[-1], folder)
                save()
                saved = time.monotonic()
                row = position.history[-1]
                progress.note(
                    f"epoch {row['epoch']}: loss {row['loss']:.4f}"
                    + (f", validation {row['validation_loss']:.4f}" if self.held_out else "")
                )
        write_history(position.history, folder)  # a workflow removes it where the run was killed after its last epoch

    def batches(self) -> Iterator[Tensor]:
        """Sequence numbers of each batch that the current epoch still has."""
        generator = torch.Generator().manual_seed(self.recipe.training.seed * 1_000_003 + self.trainer.position.epoch)
        order = torch.randperm(len(self.sequences), generator=generator)
        yield from order.split(self.recipe.training.batch_size)[self.trainer.position.step_in_epoch :]

    def _loss(self, sequences: Sequences, numbers: Tensor) -> Any:
        mixture, target = sequences.batch(numbers, self.recipe.target)
        family = self.recipe.trained_family
        return family.loss(self.trainer.network, self.trainer.network(mixture), target, self.recipe.loss)

    def step(self, numbers: Tensor) -> float:
        """One optimiser step on the sequences `numbers`; return its loss.

        Raises InputError, before the weights change, when the loss or the gradient is not finite.
        """
        trainer, position = self.trainer, self.trainer.position
        loss = self._loss(self.sequences, numbers)
        values = dict(zip(loss._fields, torch.stack(tuple(loss)).tolist(), strict=True))
        trainer.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        norm = nn.utils.clip_grad_norm_(trainer.network.parameters(), self.recipe.training.gradient_norm_clip)
        if not (math.isfinite(values["total"]) and math.isfinite(norm.item())):
            tracks = ", ".join(self.sequences.tracks_of(numbers))
            raise InputError(
                f"epoch {position.epoch + 1}, step {position.step + 1}: loss {values['total']}, gradient norm {norm.item()}; not finite. "
                f"The last good state is kept. Tracks in this batch: {tracks}. Try a lower training.learning_rate."
            )
        trainer.optimiser.step()
        for name, value in values.items():
            position.sums[name] = position.sums.get(name, 0.0) + value * len(numbers)
        position.n_sequences += len(numbers)
        position.step += 1
        position.step_in_epoch += 1
        return values["total"]

    def _end_epoch(self) -> None:
        trainer, position, training = self.trainer, self.trainer.position, self.recipe.training
        means = {name: total / position.n_sequences for name, total in position.sums.items()}
        row: dict[str, Any] = {"epoch": position.epoch + 1, "step": position.step, "loss": means.pop("total"), **means}
        row["learning_rate"] = trainer.optimiser.param_groups[0]["lr"]
        row["validation_loss"] = self._validate() if self.held_out else None
        row["validation_sdr"] = validation_sdr(self.recipe, trainer.network, self.held_out, self.held_out.stft.window.device)
        position.history.append(row)
        if training.plateau and row["epoch"] >= training.plateau.first_epoch and trainer.schedule:
            trainer.schedule.step(row["loss"])
        if training.selection == "best":
            trainer.keep_best(row["validation_loss"])
        position.epoch += 1
        position.step_in_epoch = position.n_sequences = 0
        position.sums = {}

    def _validate(self) -> float:
        """Mean divergence of the estimate over the held-out sequences."""
        total = 0.0
        with torch.no_grad():
            for numbers in torch.arange(len(self.held_out)).split(self.recipe.training.batch_size):
                total += self._loss(self.held_out, numbers).kl_denoised.item() * len(numbers)
        if not math.isfinite(total):
            raise InputError(
                f"epoch {self.trainer.position.epoch + 1}: the validation loss is {total}, not finite. The last good state is kept. "
                f"Validation tracks: {', '.join(self.held_out.names)}. Try a lower training.learning_rate."
            )
        return total / len(self.held_out)


def write_history(history: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write one row an epoch as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(folder / "history.csv", text.getvalue())


def write_events(row: Mapping[str, Any], folder: Path) -> None:
    """Write one epoch's row as TensorBoard scalars. Raises InputError when the disk is full."""
    from torch.utils.tensorboard import SummaryWriter

    try:
        with SummaryWriter(str(folder / "tensorboard"), filename_suffix=".madsep") as events:
            for name in HISTORY[2:]:
                if row[name] is not None:
                    events.add_scalar(name, row[name], row["epoch"])
    except OSError as error:
        raise (write_error(folder / "tensorboard", error) or error) from None
