"""Train a recipe's network on prepared training tracks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from madsep.core.devices import Device, claim
from madsep.core.errors import InputError
from madsep.core.files import digest
from madsep.core.logs import log
from madsep.core.provenance import versions
from madsep.data.prepared import check_rate, read_prepared
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import build_network, write_tensors
from madsep.systems.recipe import System
from madsep.training.loop import Loop
from madsep.training.records import Records
from madsep.training.sequences import Sequences
from madsep.training.state import Trainer, discard
from madsep.training.statistics import bin_statistics
from madsep.training.stop import Stop


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what to compute."""

    device: Device
    n_threads: int
    save_every_s: float
    validation_names: Sequence[str]
    max_minutes: float | None = None  # then it saves its state and stops; None: no limit


def train(recipe: System, manifests: Sequence[Path], folder: Path, options: Options) -> None:
    """Write `folder`/weights.safetensors and history.csv (and TensorBoard events); go on from `folder`/state.safetensors.

    Raises InputError for test tracks, missing validation tracks, a state of other settings, or a loss that is not finite; Stopped, after
    saving the state, on SIGTERM, on SIGINT and when `max_minutes` have passed.
    """
    stop = Stop(options.max_minutes)
    with claim(options.device, options.n_threads) as device, stop.listening():
        entries = read_prepared(manifests, "train")
        check_rate(entries, recipe.front_end.sample_rate_hz, recipe.name)
        training, validation = split(entries, recipe, options.validation_names)
        stft = Stft(recipe.front_end, device)
        sequences, held_out = Sequences(training, recipe, stft, augmented=True), Sequences(validation, recipe, stft, augmented=False)
        network = build_network(recipe)
        network.initialise(torch.Generator().manual_seed(recipe.training.seed))
        if recipe.trained_family.standardises:
            network.standardise(*bin_statistics(Sequences(training, recipe, stft, augmented=False)))
        trainer = Trainer(network.to(device), recipe)
        data, held_out_names = digest([entry["sha256"] for entry in entries]), sorted(held_out.names)
        records = Records(folder, {"settings": recipe.training_half(), "data": data, "validation": held_out_names}, options.save_every_s)
        trainer.resume(records.state, records.identity)
        sizes = (len(sequences), len(training), len(held_out), f"{_n_parameters(network):,}")
        log.info("%d sequences of %d tracks, %d held out; %s parameters", *sizes)
        if held_out_names:
            log.info("held out for validation: %s", "; ".join(held_out_names))
        Loop(recipe, trainer, sequences, held_out).run(records, stop)
        weights = trainer.best_weights if recipe.training.selection == "best" else network.state_dict()
        provenance = {"data": data, "device": device.type, "versions": versions(), "validation": held_out_names}
        write_tensors(folder / "weights.safetensors", weights, {"trained": recipe.training_half(), "provenance": provenance})
        discard(records.state)


def split(entries: Sequence[dict[str, Any]], recipe: System, validation_names: Sequence[str]) -> tuple[list[Any], list[Any]]:
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


def _n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
