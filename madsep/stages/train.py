"""Train a recipe's network on prepared training tracks."""

import csv
import io
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from madsep.checkpoint import build_network, write_tensors
from madsep.devices import Device, claim
from madsep.errors import InputError
from madsep.files import digest, write_text
from madsep.logs import log
from madsep.prepared import read_prepared
from madsep.progress import Progress
from madsep.provenance import versions
from madsep.stft import Stft
from madsep.systems import Recipe
from madsep.training.sequences import Sequences
from madsep.training.state import Trainer, discard

HISTORY = ("epoch", "step", "loss", "kl_denoised", "kl_masked", "latent", "learning_rate", "validation_loss")


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what to compute."""

    device: Device
    n_threads: int
    save_every_s: float
    validation_names: Sequence[str]


def train(recipe: Recipe, manifests: Sequence[Path], folder: Path, options: Options) -> None:
    """Write `folder`/weights.safetensors and history.csv (and TensorBoard events); go on from `folder`/state.safetensors.

    Raises InputError for test tracks, missing validation tracks, a state of other settings, or a loss that is not finite.
    """
    with claim(options.device, options.n_threads) as device:
        entries = read_prepared(manifests, "train")
        training, validation = split(entries, recipe, options.validation_names)
        stft = Stft(recipe.front_end, device)
        sequences = Sequences(training, recipe.segments, recipe.training.edge_frames_dropped, stft)
        held_out = Sequences(validation, recipe.segments, recipe.training.edge_frames_dropped, stft)
        network = build_network(recipe)
        network.initialise(torch.Generator().manual_seed(recipe.training.seed))
        trainer = Trainer(network.to(device), recipe.training)
        data = digest([entry["sha256"] for entry in entries])
        identity = {
            "settings": recipe.training_half(),
            "data": data,
            "validation": sorted(entry["name"] for entry in validation),
        }
        state = folder / "state.safetensors"
        trainer.resume(state, identity)
        log.info(
            "%d sequences of %d tracks, %d held out; %s parameters",
            len(sequences),
            len(training),
            len(held_out),
            f"{_n_parameters(network):,}",
        )
        loop = _Loop(recipe, trainer, sequences, held_out)
        loop.run(lambda: trainer.save(state, identity), options.save_every_s, folder)
        weights = trainer.best_weights if recipe.training.selection == "best" else network.state_dict()
        provenance = {"data": data, "device": device.type, "versions": versions(), "validation": identity["validation"]}
        write_tensors(folder / "weights.safetensors", weights, {"trained": recipe.training_half(), "provenance": provenance})
        discard(state)


def split(entries: Sequence[dict[str, Any]], recipe: Recipe, validation_names: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Divide prepared tracks into training and validation tracks, as the recipe says; validation is empty where it has none."""
    if not recipe.training.validation:
        return list(entries), []
    held_out = [entry for entry in entries if entry["name"] in validation_names]
    training = [entry for entry in entries if entry["name"] not in validation_names]
    if not held_out or not training:
        raise InputError(
            f"recipe {recipe.name}: training.validation is true, but {len(held_out)} of the {len(entries)} training tracks are validation "
            "tracks; name some in validation_tracks, or set it to false."
        )
    return training, held_out


class _Loop:
    """Epochs over the sequences in an order that only the seed and the epoch's number decide."""

    def __init__(self, recipe: Recipe, trainer: Trainer, sequences: Sequences, held_out: Sequences) -> None:
        self.recipe, self.trainer, self.sequences, self.held_out = recipe, trainer, sequences, held_out
        self.n_steps = math.ceil(len(sequences) / recipe.training.batch_size)

    def run(self, save: Any, save_every_s: float, folder: Path) -> None:
        """Train to the last epoch, saving the state at each epoch's end and every `save_every_s` seconds."""
        position, saved = self.trainer.position, time.monotonic()
        with Progress(f"training {self.recipe.name}", self.recipe.training.n_epochs * self.n_steps, position.step) as progress:
            while position.epoch < self.recipe.training.n_epochs:
                for numbers in self._batches():
                    loss = self._step(numbers)
                    progress.advance(1, f"epoch {position.epoch + 1} loss {loss:.4f}")
                    if time.monotonic() - saved > save_every_s:
                        save()
                        saved = time.monotonic()
                self._end_epoch()
                write_history(position.history, folder)
                save()
                saved = time.monotonic()
                row = position.history[-1]
                progress.note(
                    f"epoch {row['epoch']}: loss {row['loss']:.4f}"
                    + (f", validation {row['validation_loss']:.4f}" if self.held_out else "")
                )

    def _batches(self) -> Iterator[Tensor]:
        """The rest of the current epoch's batches."""
        generator = torch.Generator().manual_seed(self.recipe.training.seed * 1_000_003 + self.trainer.position.epoch)
        order = torch.randperm(len(self.sequences), generator=generator)
        yield from order.split(self.recipe.training.batch_size)[self.trainer.position.step_in_epoch :]

    def _loss(self, sequences: Sequences, numbers: Tensor) -> Any:
        mixture, target = sequences.batch(numbers, self.recipe.target)
        family = self.recipe.trained_family
        return family.loss(self.trainer.network, self.trainer.network(mixture), target, self.recipe.loss)

    def _step(self, numbers: Tensor) -> float:
        trainer, position = self.trainer, self.trainer.position
        loss = self._loss(self.sequences, numbers)
        values = {name: value.item() for name, value in loss._asdict().items()}
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
        return total / len(self.held_out)


def write_history(history: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write one row an epoch as CSV, and the newest as TensorBoard scalars."""
    from torch.utils.tensorboard import SummaryWriter

    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(folder / "history.csv", text.getvalue())
    newest = history[-1]
    with SummaryWriter(str(folder / "tensorboard"), filename_suffix=".madsep") as events:
        for name in HISTORY[2:]:
            if newest[name] is not None:
                events.add_scalar(name, newest[name], newest["epoch"])


def _n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
