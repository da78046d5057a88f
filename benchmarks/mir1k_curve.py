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

import matplotlib.pyplot as plt
import pandas as pd
import torch
from mir1k_training import METRICS, Clips, mir1k, train, with_keys

from madsep.core.devices import claim
from madsep.separation.network import Separator

EVERY_TRAINING_CLIP = 4


class Curve:
    """Rows of scores over epochs and minutes, printed as they are computed."""

    def __init__(self, tree: Path, every: int) -> None:
        self.test = Clips(sorted((tree / "test").iterdir()))
        self.train = Clips(sorted((tree / "train").iterdir())[::EVERY_TRAINING_CLIP])
        self.every, self.rows = every, []
        self.epoch, self.trained_s, self.resumed = 0, 0.0, time.monotonic()

    def after_epoch(self, separator: Separator) -> None:
        """Score the clips if the epoch is a multiple of `every`. This does not count as training time."""
        self.epoch += 1
        self.trained_s += time.monotonic() - self.resumed
        if self.epoch % self.every == 0:
            scores = [*self.test.scores(separator), *self.train.scores(separator)]
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
        tracks = mir1k(arguments.tree, Path(temporary))
        columns = ["epoch", "minutes", *(f"{metric}, {of}" for of in ("test", "training clips") for metric in METRICS)]
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
        curve = Curve(arguments.tree, arguments.every)
        train(recipe, tracks, device, curve.after_epoch)
        curve.write(arguments.out, recipe.name)


if __name__ == "__main__":
    main()
