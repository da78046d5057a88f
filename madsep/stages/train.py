"""Train a recipe's network on prepared training tracks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from madsep.checkpoint import build_network, write_tensors
from madsep.devices import Device, claim
from madsep.errors import InputError
from madsep.files import digest
from madsep.logs import log
from madsep.prepared import read_prepared
from madsep.provenance import versions
from madsep.stft import Stft
from madsep.systems import System
from madsep.training.loop import Loop
from madsep.training.sequences import Sequences
from madsep.training.state import Trainer, discard


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what to compute."""

    device: Device
    n_threads: int
    save_every_s: float
    validation_names: Sequence[str]


def train(recipe: System, manifests: Sequence[Path], folder: Path, options: Options) -> None:
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
        loop = Loop(recipe, trainer, sequences, held_out)
        loop.run(lambda: trainer.save(state, identity), options.save_every_s, folder)
        weights = trainer.best_weights if recipe.training.selection == "best" else network.state_dict()
        provenance = {"data": data, "device": device.type, "versions": versions(), "validation": identity["validation"]}
        write_tensors(folder / "weights.safetensors", weights, {"trained": recipe.training_half(), "provenance": provenance})
        discard(state)


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
