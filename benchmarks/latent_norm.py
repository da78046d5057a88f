r"""The effect of the norm in the penalty on H_dec: MDL1 on MIR-1K with each meaning of "unit matrix norm", over several seeds.

    python benchmarks/latent_norm.py                                        how much weaker they are in MDL1 at full size (half a minute)
    python benchmarks/latent_norm.py TREE                                   TREE is made by `madsep import-mir1k`
    python benchmarks/latent_norm.py TREE --strength 100 --every 6 --set training.n_epochs=4 --set training.batch_size=16 \
        --set network.n_encoder_bins=96 --set network.n_denoiser_hidden=96    the figures of docs/systems.md (a quarter of an hour)

Without TREE, H_dec is that of a network with initial weights on a synthetic song. With TREE, the recipe is trained for each seed with the
entrywise L1 norm at its published weight, with each other norm at equal strength, and without a penalty. Equal strength means that all
norms have the same weighted value for H_dec of the first seed, trained with the L1 norm. `--strength` multiplies all weights. `--set
KEY=VALUE` changes keys of the recipe. `--every N` trains and tests on every N-th clip.

- `weaker` is the ratio of the L1 norm's penalty to this norm's penalty at the same weight.
- `GNSDR` is the mean over the seeds, in dB, on the test clips. `difference` is the mean over the seeds of the difference from the L1 norm,
  with its standard error.
- `mean |h|` and `|h| <= 0.2` describe H_dec on training clips. The latter is the share that MDLT's threshold would set to zero.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from measure import markdown
from mir1k_training import Clips, mir1k, train, with_keys
from torch import Tensor

from madsep.core.devices import claim
from madsep.data.prepared import PreparedTrack
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import build_network
from madsep.models.losses import summed_norms
from madsep.models.mad import BATCH_OF_PENALTY
from madsep.synth.songs import render_song
from madsep.systems.families.mad import LatentNorm
from madsep.systems.recipe import System, load_recipe
from madsep.training.sequences import Sequences

NORMS: tuple[LatentNorm, ...] = get_args(LatentNorm)
N_BATCHES = 8  # batches on which H_dec is measured
SONG_S = 4.0
THRESHOLD = 0.2  # MDLT's
COLUMNS = ["norm", "weaker", "weight", "GNSDR", "difference", "mean abs(h)", "abs(h) <= 0.2"]


class Trained(NamedTuple):
    """Results of one training."""

    gnsdr: float  # dB
    norms: dict[LatentNorm, float]  # of H_dec, summed over a batch of 16
    mean: float  # of |h|
    small: float  # share of entries not above THRESHOLD


class Trainings:
    """Trainings on the same clips that differ in the penalty and the seed."""

    def __init__(self, tracks: Sequence[PreparedTrack], test: Clips, settings: list[str], device: torch.device) -> None:
        self.tracks, self.test, self.settings, self.device = tracks, test, settings, device

    def recipe(self, weight: float, norm: LatentNorm, seed: int) -> System:
        """Return the recipe with this penalty and seed."""
        changes = [f"loss.latent_l1={weight!r}", f"loss.latent_norm={norm}", f"training.seed={seed}"]
        return with_keys("MDL1-mir1k", [*self.settings, *changes])

    def train(self, weight: float, norm: LatentNorm, seed: int) -> Trained:
        """Train as in the workflow, score the test clips and measure H_dec."""
        recipe = self.recipe(weight, norm, seed)
        separator = train(recipe, self.tracks, self.device)
        network = separator.checkpoint.network
        plain = Sequences(self.tracks, recipe, Stft(recipe.front_end, self.device), augmented=False)
        with torch.no_grad():
            latents = torch.cat([network(plain.features(spans)[0]).h_dec for _, spans in plain.stream(self._batches(len(plain)))])
        gnsdr = self.test.scores(separator)[0]
        norms = {kind: float(summed_norms(latents, kind, torch.float64)) * BATCH_OF_PENALTY / len(latents) for kind in NORMS}
        return Trained(gnsdr, norms, float(latents.abs().mean()), float((latents.abs() <= THRESHOLD).float().mean()))

    def _batches(self, n_sequences: int) -> list[Tensor]:
        evenly = torch.linspace(0, n_sequences - 1, min(N_BATCHES * BATCH_OF_PENALTY, n_sequences)).long()
        return list(evenly.split(BATCH_OF_PENALTY))


def untrained() -> dict[LatentNorm, float]:
    """Return the norms of H_dec of MDL1 with initial weights, summed over some sequences of a synthetic song."""
    recipe = load_recipe("MDL1", {"MDL1": {"training": {"precision": "fp32"}}})
    network, segments = build_network(recipe), recipe.segments
    network.initialise(torch.Generator().manual_seed(recipe.training.seed))
    stems = render_song(SONG_S, np.random.default_rng(0))
    mixture = torch.from_numpy(sum(stems.values()).mean(1).astype(np.float32))
    magnitudes = Stft(recipe.front_end).transform(mixture).abs().clamp(max=recipe.target.input_clip)
    sequences = magnitudes.unfold(0, segments.n_frames, segments.step).transpose(1, 2)
    with torch.no_grad():
        latents = network(sequences).h_dec
    return {kind: float(summed_norms(latents, kind, torch.float64)) for kind in NORMS}


def row(norm: str, weaker: float | None, weight: float, found: list[Trained], l1: list[Trained]) -> str:
    """Return one row of the table."""
    differences = np.array([one.gnsdr - other.gnsdr for one, other in zip(found, l1, strict=True)])
    error = differences.std(ddof=1) / len(differences) ** 0.5 if len(differences) > 1 else np.nan
    values: list[Any] = [norm, "" if weaker is None else f"{weaker:.4g}", f"{weight:.3g}", f"{np.mean([one.gnsdr for one in found]):.2f}"]
    values += ["" if found is l1 else f"{differences.mean():+.2f} ± {error:.2f}"]
    values += [f"{np.mean([one.mean for one in found]):.4f}", f"{np.mean([one.small for one in found]):.1%}"]
    return f"| {' | '.join(values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if arguments.tree is None:
        norms = untrained()
        print(markdown(["norm", "weaker"]), *(f"| {norm} | {norms['l1'] / value:.0f} |" for norm, value in norms.items()), sep="\n")
        return
    seeds = range(arguments.seeds)
    with claim("auto", arguments.threads) as device, tempfile.TemporaryDirectory() as temporary:
        tracks = mir1k(arguments.tree, Path(temporary))[:: arguments.every]
        test = Clips(sorted((arguments.tree / "test").iterdir())[:: arguments.every])
        trainings = Trainings(tracks, test, arguments.set, device)
        weight = arguments.strength * trainings.recipe(2e-7, "l1", 0).loss.latent_l1
        print(markdown(COLUMNS), flush=True)
        l1 = [trainings.train(weight, "l1", seed) for seed in seeds]
        print(row("l1", 1.0, weight, l1, l1), flush=True)
        for norm in NORMS[1:]:
            weaker = l1[0].norms["l1"] / l1[0].norms[norm]
            found = [trainings.train(weight * weaker, norm, seed) for seed in seeds]
            print(row(norm, weaker, weight * weaker, found, l1), flush=True)
        print(row("none", None, 0.0, [trainings.train(0.0, "l1", seed) for seed in seeds], l1), flush=True)


if __name__ == "__main__":
    main()
