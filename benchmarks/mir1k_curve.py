"""GNSDR on MIR-1K during training, on test clips and on training clips.

    python benchmarks/mir1k_curve.py TREE MDL1-mir1k --every 5 --out curve        TREE is made by `madsep import-mir1k`

Trains the recipe as in the workflow. Every few epochs, all test clips and every fourth training clip are separated and scored without
augmentation. Each time a row is printed. At the end, OUT.csv and OUT.svg are written. The minutes include only training. `--set KEY=VALUE`
changes keys of the recipe (`--set training.n_epochs=10`) to measure their effect.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import yaml
from precision import mir1k

from madsep.bsseval import SourcesScorer
from madsep.core.devices import claim
from madsep.data.audio import read_wav
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
EVERY_TRAINING_CLIP = 4


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


class Curve:
    """Rows of scores over epochs and minutes, printed as they are computed."""

    def __init__(self, tree: Path, separator: Separator, every: int) -> None:
        self.test = Clips(sorted((tree / "test").iterdir()))
        self.train = Clips(sorted((tree / "train").iterdir())[::EVERY_TRAINING_CLIP])
        self.separator, self.every, self.rows = separator, every, []
        self.epoch, self.trained_s, self.resumed = 0, 0.0, time.monotonic()

    def after_epoch(self) -> None:
        """Score the clips if the epoch is a multiple of `every`. This does not count as training time."""
        self.epoch += 1
        self.trained_s += time.monotonic() - self.resumed
        if self.epoch % self.every == 0:
            scores = [*self.test.scores(self.separator), *self.train.scores(self.separator)]
            self.rows.append([self.epoch, self.trained_s / 60, *scores])
            print(f"| {self.epoch} | {self.trained_s / 60:.1f} | " + " | ".join(f"{score:.2f}" for score in scores) + " |", flush=True)
        self.resumed = time.monotonic()

    def write(self, out: str, name: str) -> None:
        """Write the rows as CSV and the GNSDR as a figure."""
        columns = ["epoch", "minutes", *METRICS, *(f"{metric}_train" for metric in METRICS)]
        table = pd.DataFrame(self.rows, columns=columns)
        table.to_csv(f"{out}.csv", index=False, float_format="%.3f")
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        axes.plot(table["minutes"], table["GNSDR"], marker="o", label=f"{len(self.test.clips)} test clips")
        axes.plot(table["minutes"], table["GNSDR_train"], marker="o", label=f"{len(self.train.clips)} of the training clips")
        axes.set(xlabel=f"minutes of training, {torch.get_num_threads()} CPU threads", ylabel="GNSDR, dB", title=name)
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(f"{out}.svg", metadata={"Date": None})


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("recipe")
    parser.add_argument("--every", type=int, default=5, help="epochs")
    parser.add_argument("--out", default="curve", help="path without suffix")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    recipe = with_keys(arguments.recipe, arguments.set)
    with claim("auto", arguments.threads) as device, tempfile.TemporaryDirectory() as temporary:
        sequences = Sequences(mir1k(arguments.tree, Path(temporary)), recipe, Stft(recipe.front_end, device), augmented=True)
        held_out = Sequences([], recipe, sequences.stft, augmented=False)
        network = build_network(recipe)
        network.initialise(torch.Generator().manual_seed(recipe.training.seed))
        state = TrainingState(network.to(device), recipe)
        columns = ["epoch", "minutes", *(f"{metric}, {of}" for of in ("test", "training clips") for metric in METRICS)]
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
        curve = Curve(arguments.tree, Separator(Checkpoint(recipe, network, {}), device), arguments.every)
        Loop(recipe, state, sequences, held_out).run(RunFiles(Path(temporary), "", 1e9), Stop(None), curve.after_epoch)
        curve.write(arguments.out, recipe.name)


if __name__ == "__main__":
    main()
