"""What the benchmarks on MIR-1K share: its clips, recipes with changed keys, and trainings like those of the workflow."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from madsep.bsseval import SourcesScorer
from madsep.data.audio import read_wav
from madsep.data.datasets import MIR1K
from madsep.data.inventory import Digests, with_digests
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, PreparedTrack, read_prepared
from madsep.data.tracks import find_tracks
from madsep.data.wav_writer import quantise
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import Checkpoint, build_network
from madsep.scoring.nsdr import COLUMNS, clip_scores, length_weighted_means
from madsep.separation.network import Separator
from madsep.systems.recipe import System, load_recipe
from madsep.training.loop import Loop
from madsep.training.records import RunFiles
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState
from madsep.training.stop import Stop

METRICS = ("GNSDR", "GSIR", "GSAR")

AfterEpoch = Callable[[Separator], None]


def mir1k(tree: Path, folder: Path) -> list[PreparedTrack]:
    """Prepare the training clips of a tree in `folder` and return them."""
    clips = [track for track in find_tracks(tree, MIR1K, allow_partial=True) if track.subset == "train"]
    tracks = with_digests(clips, Digests(folder / "digests.json"))
    prepare(tracks, Form(("mixture", "vocals"), True, MIR1K.sample_rate_hz), folder, "train")
    return read_prepared(folder, [track.slug for track in tracks], ("train",))


class Clips:
    """Clips of one subset, kept in memory to be scored repeatedly."""

    def __init__(self, folders: list[Path]) -> None:
        self.clips = []
        for folder in folders:
            mixture, voice, accompaniment = (read_wav(folder / f"{name}.wav")[0] for name in ("mixture", "vocals", "accompaniment"))
            self.clips.append((folder.name, mixture, SourcesScorer(np.concatenate([voice, accompaniment]))))

    def scores(self, separator: Separator) -> list[float]:
        """Return GNSDR, GSIR and GSAR in dB of the voices estimated by a separator."""
        rows: list[tuple[Any, ...]] = []
        for name, mixture, scorer in self.clips:
            voice = quantise(np.concatenate(list(separator.estimates(mixture)), axis=2))[0, 0]
            found = clip_scores(name, scorer, voice, mixture[0])
            rows += [(name, mixture.shape[1], metric, value) for metric, value in found.items()]
        means = length_weighted_means(pd.DataFrame(rows, columns=COLUMNS), 0, 100).set_index("metric")["value"]
        return [float(means[metric]) for metric in METRICS]


def with_keys(name: str, settings: list[str]) -> System:
    """Return a recipe with some keys changed."""
    overrides: dict[str, Any] = {}
    for setting in settings:
        path, value = setting.split("=", 1)
        *sections, key = path.split(".")
        inner = overrides
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = yaml.safe_load(value)
    return load_recipe(name, {name: overrides})


def train(
    recipe: System, tracks: Sequence[PreparedTrack], device: torch.device, after_epoch: Callable[[Separator], None] | None = None
) -> Separator:
    """Train as the workflow does and return the separator, which is also given to `after_epoch`."""
    stft = Stft(recipe.front_end, device)
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(recipe.training.seed))
    state = TrainingState(network.to(device), recipe)
    separator = Separator(Checkpoint(recipe, network, {}), device)
    sequences, nothing = Sequences(tracks, recipe, stft, augmented=True), Sequences([], recipe, stft, augmented=False)
    with tempfile.TemporaryDirectory() as folder:
        report = (lambda: after_epoch(separator)) if after_epoch else None
        Loop(recipe, state, sequences, nothing).run(RunFiles(Path(folder), "", 1e9), Stop(None), report)
    network.eval()
    return separator
