"""Train a recipe's network on prepared training tracks."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from madsep.core.artefacts import Stage
from madsep.core.devices import Device, claim
from madsep.core.errors import InputError
from madsep.core.files import digest
from madsep.core.locks import hold_file
from madsep.core.logs import log
from madsep.core.provenance import versions
from madsep.data.prepared import PreparedTrack, check_rate
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import WEIGHTS, build_network, write_tensors
from madsep.systems.identity import training_identity
from madsep.systems.recipe import System
from madsep.training.loop import Loop
from madsep.training.records import RunFiles, discard_progress
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState
from madsep.training.statistics import bin_statistics
from madsep.training.stop import Stop

JOB = "train"
LOCK = "train.lock"


@dataclass(frozen=True)
class Options:
    """Options that do not change the result."""

    device: Device
    n_threads: int
    save_every_s: float
    max_minutes: float | None = None  # after which training saves its state and stops; None: no limit


@dataclass(frozen=True)
class Split:
    """The tracks of a training, each part sorted by name."""

    identity: str  # of the training
    data: str  # digest of all tracks
    training: Sequence[PreparedTrack]
    held_out: Sequence[PreparedTrack]


def train(recipe: System, tracks: Sequence[PreparedTrack], validation: Sequence[str], folder: Path, options: Options) -> None:
    """Write `folder`/weights.safetensors, history.csv, TensorBoard events and the record of the weights. Resume from a saved state.

    `validation` lists the slugs of the held-out tracks. Weights that are already there are kept. Raises InputError for missing validation
    tracks, audio at another rate, another process that trains in `folder`, a state of another training, or a loss that is not finite.
    Raises Stopped, after saving the state, on SIGTERM, on SIGINT and after `max_minutes`.
    """
    check_rate(tracks, recipe.front_end.sample_rate_hz, recipe.name)
    data = split(recipe, tracks, validation)
    stage, made_from = Stage(folder), {"training": data.identity}
    with _alone_in(folder):
        if stage.is_current(WEIGHTS, made_from):
            log.info("%s: these weights were trained before with the same recipe and data; there is nothing to do", folder)
        else:
            stop = Stop(options.max_minutes)
            with claim(options.device, options.n_threads) as device, stop.listening():
                loop, files = _loop(recipe, data, device), RunFiles(folder, data.identity, options.save_every_s)
                loop.run(files, stop)
                with stage.making(WEIGHTS, made_from) as made:
                    made |= _write_weights(loop, data, files)
        stage.finish_job(JOB, [WEIGHTS])
        discard_progress(folder)


def split(recipe: System, tracks: Sequence[PreparedTrack], validation: Sequence[str]) -> Split:
    """Divide tracks into training and held-out tracks. Tracks are held out only if the recipe uses validation.

    Raises InputError if it does and either part is empty.
    """
    ordered = sorted(tracks, key=lambda track: track.name)
    identities = {track.slug: track.identity for track in ordered}
    slugs = set(validation) if recipe.training.validation else set()
    training, held_out = [track for track in ordered if track.slug not in slugs], [track for track in ordered if track.slug in slugs]
    if recipe.training.validation and not (training and held_out):
        raise InputError(
            f"recipe {recipe.name}: training.validation is true, but {len(held_out)} of the {len(ordered)} training tracks are validation "
            "tracks; name some in validation_tracks, or set it to false."
        )
    return Split(training_identity(recipe, identities, validation), digest(identities), training, held_out)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training in `folder`. Raises InputError if one already does."""
    with hold_file(folder / LOCK) as is_ours:
        if not is_ours:
            raise InputError(f"{folder}: another process is training in this folder; wait until it has finished, or stop it.")
        yield


def _loop(recipe: System, data: Split, device: torch.device) -> Loop:
    """Return the loop over the training's sequences, with a network initialised for the first step."""
    stft = Stft(recipe.front_end, device)
    sequences, held_out = Sequences(data.training, recipe, stft, augmented=True), Sequences(data.held_out, recipe, stft, augmented=False)
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(recipe.training.seed))
    if recipe.trained_family.standardises:
        network.standardise(*bin_statistics(Sequences(data.training, recipe, stft, augmented=False)))
    sizes = (len(sequences), len(data.training), len(data.held_out), f"{_n_parameters(network):,}")
    log.info("%d sequences of %d tracks, %d held out; %s parameters", *sizes)
    if held_out.names:
        log.info("held out for validation: %s", "; ".join(held_out.names))
    return Loop(recipe, TrainingState(network.to(device), recipe), sequences, held_out)


def _write_weights(loop: Loop, data: Split, files: RunFiles) -> dict[str, Any]:
    """Write the weights and return the files and facts for their record. Raises DiskFull."""
    recipe, state = loop.recipe, loop.state
    path = files.folder / f"{WEIGHTS}.safetensors"
    tensors = state.best_weights if recipe.training.selection == "best" else state.network.state_dict()
    made = {"device": state.device.type, "versions": versions(), "validation": loop.held_out.names}
    songs = [track.name for track in (*data.training, *data.held_out)]
    provenance = {"data": data.data, "songs": songs, **made}
    metadata = {"trained": recipe.training_half(), "identity": data.identity, "provenance": provenance}
    write_tensors(path, tensors, metadata)
    return {"files": [path], "parts": files.parts.values(), **made}


def _n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
