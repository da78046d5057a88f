"""Train a tiny network on synthetic songs, and read its results."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prepared_tracks import write_prepared_track

from madsep.data.prepared import PreparedTrack, read_prepared
from madsep.data.tracks import slug_of
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import read_tensors
from madsep.systems.recipe import Recipe
from madsep.training.sequences import Sequences
from madsep.training.train import Options, train

Tracks = Sequence[PreparedTrack]

N_SAMPLES = 12_000  # 130 frames, of which 120 are estimated, in 15 sequences per track
EACH_STEP = -1.0  # save_every_s
NEVER = 1e9
OUTPUTS = ["history.csv", "jobs", "records", "tensorboard", "train.lock", "weights.safetensors"]  # of a finished training, without a state
HELD_OUT = {"validation": True, "selection": "best"}


def sung(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a mixture and its voice (n_samples,): syllables with vibrato over a bass and noise."""
    generator = np.random.default_rng(seed)
    t = np.arange(N_SAMPLES) / 44100
    pitch_hz = (200 + 100 * generator.random()) * (1 + 0.02 * np.sin(2 * np.pi * 5 * t))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 44100
    voice = 0.2 * np.sin(2 * np.pi * 4 * t) ** 2 * sum(np.sin(k * phase) / k for k in range(1, 8))
    background = 0.02 * generator.standard_normal(N_SAMPLES) + 0.2 * np.sin(2 * np.pi * 80 * t)
    return voice + background, voice


def write_prepared(folder: Path, songs: Sequence[tuple[np.ndarray, np.ndarray]], subset: str = "train") -> list[PreparedTrack]:
    """Write mixtures and voices (n_samples,) as prepared tracks `Artist - 0`, `Artist - 1`, ... Return the tracks."""
    return [
        write_prepared_track(folder, f"Artist - {number}", {"mixture": mixture[None], "vocals": voice[None]}, subset=subset)
        for number, (mixture, voice) in enumerate(songs)
    ]


def read_all_prepared(folder: Path) -> list[PreparedTrack]:
    """Return all prepared training tracks in a folder."""
    return read_prepared(folder, [path.stem for path in (folder / "records").iterdir()], ["train"])


def run(recipe: Recipe, tracks: Tracks, folder: Path, save_every_s: float = NEVER, held_out: tuple[str, ...] = ()) -> Path:
    """Train on the CPU without the tracks named in `held_out`, which are for validation. Return the folder."""
    train(recipe, tracks, [slug_of(name) for name in held_out], folder, Options("cpu", 1, save_every_s))
    return folder


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def losses(folder: Path, column: str = "loss") -> list[float]:
    return [float(row[column]) for row in history(folder)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "weights.safetensors")[0]


def same_bytes(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("weights.safetensors", "history.csv"))


def sequences_of(tracks: Tracks, recipe: Recipe, *numbers: int) -> Sequences:
    """Return the sequences of the tracks with these numbers, or of all."""
    return Sequences([tracks[number] for number in numbers] or tracks, recipe, Stft(recipe.front_end), augmented=False)


def features_of(sequences: Sequences, numbers: torch.Tensor, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mixture and target magnitudes of some sequences."""
    ((_, spans),) = sequences.stream([numbers])
    return sequences.features(spans)


class Killed(Exception):
    """Stand-in for a kill at a known step."""


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, n_calls: int) -> None:
    """Make owner.name raise Killed after `n_calls` calls."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > n_calls:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(owner, name, counted)
