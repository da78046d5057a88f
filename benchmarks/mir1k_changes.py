"""What single changes of a recipe are worth on MIR-1K, over several seeds.

    python benchmarks/mir1k_changes.py TREE training.augmentation.speed=0.3                       TREE is made by `madsep import-mir1k`
    python benchmarks/mir1k_changes.py TREE --set training.n_epochs=4 training.augmentation.speed=0.1 \\
        training.augmentation.speed=0.3 network.n_encoder_bins=513,network.n_denoiser_hidden=513    the table of docs/mir1k.md

For each seed it trains the recipe as it is and once with each change, then separates and scores all test clips. A change is one or more
KEY=VALUE, joined by commas. `--set KEY=VALUE` changes a key in all trainings. `GNSDR` is the mean over the seeds with the standard
deviation, in dB. `difference` is the mean over the seeds of the difference from the unchanged recipe, with its standard error.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from measure import markdown
from mir1k_training import Clips, mir1k, train, with_keys

from madsep.core.devices import claim

COLUMNS = ["change", "GNSDR", "difference"]


def row(change: str, found: list[float], unchanged: list[float]) -> str:
    """Return one line of the table from the GNSDR of each seed."""
    differences = np.subtract(found, unchanged)
    error = differences.std(ddof=1) / len(differences) ** 0.5
    difference = f"{differences.mean():+.2f} ± {error:.2f}" if change else ""
    return f"| {change or 'none'} | {np.mean(found):.2f} ± {np.std(found, ddof=1):.2f} | {difference} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("changes", nargs="+", metavar="KEY=VALUE[,KEY=VALUE]")
    parser.add_argument("--recipe", default="MDL1-mir1k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    test = Clips(sorted((arguments.tree / "test").iterdir()))
    with claim("auto", arguments.threads) as device, tempfile.TemporaryDirectory() as temporary:
        tracks = mir1k(arguments.tree, Path(temporary))
        print(markdown(COLUMNS), flush=True)
        unchanged: list[float] = []
        for change in ("", *arguments.changes):
            settings = [*arguments.set, *filter(None, change.split(","))]
            recipes = [with_keys(arguments.recipe, [*settings, f"training.seed={seed}"]) for seed in range(arguments.seeds)]
            found = [test.scores(train(recipe, tracks, device))[0] for recipe in recipes]
            unchanged = unchanged or found
            print(row(change, found, unchanged), flush=True)


if __name__ == "__main__":
    main()
